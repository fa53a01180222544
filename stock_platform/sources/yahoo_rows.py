"""Judges the bars of one answer of Yahoo: good ones on one side, refused ones with the reason.

What lives here: every check of a single bar, and of several for one session. What does not: the
basis of an answer as a whole (`yahoo_basis.py`) and what is told of it (`yahoo_tables.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo

import polars as pl

from stock_platform import calendars
from stock_platform.sources.yahoo_ask import Ask
from stock_platform.sources.yahoo_basis import HUNDREDFOLD

PRICES = ("open", "high", "low", "close")
NUMBERS = (*PRICES, "volume")

SAME = 1e-5
"""Numbers within this relative distance are one number: the lake's own rule for revisions."""

NO_VOLUME = ("index", "fx")
"""Asset classes whose bars may lack a volume: it is 0 then."""

SETTLED_ELSEWHERE = ("metal", "fx")
"""Asset classes whose close may lie outside the day's range: a future's is its settlement price
(7 % of Yahoo's bars of GC=F), a currency's comes from another moment than its range."""

REFUSED = pl.Schema(
    {
        "session": pl.Date,
        "row_ref": pl.String,
        "field": pl.String,
        "value": pl.String,
        "detail": pl.String,
    }
)
"""`row_ref` '': it is about the session's bar; otherwise `symbol:stamp` of an extra row."""


@dataclass(frozen=True)
class Judged:
    """The bars of one answer, told apart.

    Attributes:
        bars: session, open, high, low, close, volume (as stated, still in Yahoo's unit and basis),
            open_at, close_at, symbol; one per session, in order.
        refused: `REFUSED`.
        hollow: sessions that came as a row without a single value.
        duplicates: rows that only repeat another.
        foreign: rows before the instrument's first session or after its last: another company's.
    """

    bars: pl.DataFrame
    refused: pl.DataFrame
    hollow: list[object]
    duplicates: int
    foreign: int


def judge(ask: Ask, sent: pl.DataFrame, moment: datetime, lag: timedelta) -> Judged:
    """Tell the rows of an answer apart.

    Args:
        ask: what was asked.
        sent: `bars` of the answer.
        moment: when the answer was made, or when the load began if that was earlier.
        lag: a bar is due, and no longer provisional, this long after its session's close.
    """
    one = ask.instrument
    rows = sent.with_row_index("place").with_columns(
        pl.when(pl.col(name).is_not_nan()).then(name).alias(name) for name in NUMBERS
    )
    rows = rows.filter(pl.col("session").is_between(ask.first, ask.last))
    alien = (pl.col("session") < one.first_session) | (
        pl.col("session") > (one.last_session or ask.last)
    )
    foreign = rows.filter(alien).height
    rows = rows.filter(~alien).join(ask.days, on="session", how="left")
    empty = pl.all_horizontal(pl.col(name).is_null() for name in PRICES)
    strays = rows.filter(pl.col("open_at").is_null(), ~empty)
    refused = _strays(ask, strays, moment)
    rows = rows.filter(pl.col("open_at").is_not_null())
    hollow = rows.filter(empty)["session"].to_list()
    rows, extra, duplicates = _one_per_session(
        ask, rows.filter(~empty), pl.col("close_at") + lag > moment
    )
    good, bad = _checked(one.asset_class, rows)
    return Judged(
        good.drop("place", "stamp", "owed", "named").sort("session"),
        pl.concat([refused, extra, bad]),
        hollow,
        duplicates,
        foreign,
    )


def refusals(rows: Sequence[tuple[object, str, str, str, str]]) -> pl.DataFrame:
    """Rows of `REFUSED` as a frame."""
    return pl.DataFrame(rows, schema=REFUSED, orient="row")


def _strays(ask: Ask, rows: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """Refusals of rows of days that are no session; those of days to come are left to a later load.

    Yahoo's day may begin before the session's: in summer London's is an hour ahead of UTC.
    """
    calendar = ask.instrument.calendar
    today = moment.astimezone(ZoneInfo(calendars.time_zone(calendar))).date()
    rows = rows.filter(pl.col("session") <= today)
    if rows.is_empty():
        return refusals([])
    days = rows["session"]
    sessions = calendars.sessions(calendar, days.min(), days.max())  # type: ignore[arg-type]
    closed = rows.filter(~pl.col("session").is_in(sessions))
    text = f"calendar {calendar} is closed on this day"
    return refusals(
        [
            (day, ref, "session", str(day), text)
            for day, ref in zip(closed["session"], _refs(ask, closed), strict=True)
        ]
    )


def _one_per_session(
    ask: Ask, rows: pl.DataFrame, undue: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """One row per session, refusals of the rest, and how many rows only repeat another.

    Of rows that differ the last one counts while the bar is provisional: it is the price of now.
    """
    twice = rows.filter(pl.col("session").is_duplicated()).sort("session", "place")
    if twice.is_empty():
        return rows, refusals([]), 0
    keep = [rows.filter(~pl.col("session").is_duplicated())]
    refused: list[tuple[object, str, str, str, str]] = []
    duplicates = 0
    for part in twice.with_columns(undue.alias("undue")).partition_by(
        "session", maintain_order=True
    ):
        first = part.row(0, named=True)
        different = [field for field in NUMBERS if not _same(part[field])]
        if not different:
            duplicates += part.height - 1
            keep.append(part.head(1).drop("undue"))
        elif first["undue"]:
            duplicates += part.height - 1
            keep.append(part.tail(1).drop("undue"))
        else:
            field = different[0]
            values = [_text(value) for value in part[field]]
            detail = f"Yahoo sent {part.height} different bars: {field} {', '.join(values)}"
            refused.append((first["session"], "", field, values[0], detail))
            refs = _refs(ask, part)[1:]
            refused += [
                (first["session"], ref, field, value, detail)
                for ref, value in zip(refs, values[1:], strict=True)
            ]
    return pl.concat(keep), refusals(refused), duplicates


def _checked(asset_class: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that can be traded prices, and refusals of the others by their first fault."""
    if asset_class in NO_VOLUME:
        rows = rows.with_columns(pl.col("volume").fill_null(0.0))
    faults = _faults(asset_class)
    wrong = rows.select(pl.any_horizontal([bad for _, bad, _ in faults]).fill_null(False))
    good = rows.filter(~wrong.to_series())
    # A high that a float's rounding put below the low.
    good = good.with_columns(pl.max_horizontal("high", "low").alias("high"))
    if good.height == rows.height:
        return good, refusals([])
    field = pl.coalesce([pl.when(bad).then(pl.lit(name)) for name, bad, _ in faults])
    detail = pl.coalesce([pl.when(bad).then(text) for _, bad, text in faults])
    value = pl.coalesce(
        [
            pl.when(bad).then(pl.col(name).cast(pl.String).fill_null("null"))
            for name, bad, _ in faults
        ]
    )
    bad_rows = rows.filter(wrong.to_series()).with_columns(
        field.alias("field"),
        value.alias("value"),
        detail.alias("detail"),
        pl.lit("").alias("row_ref"),
    )
    return good, bad_rows.select(pl.col(name).cast(kind) for name, kind in REFUSED.items())


def _faults(asset_class: str) -> list[tuple[str, pl.Expr, pl.Expr]]:
    """Field, whether it is bad, and why; in the order in which a row's first fault is sought."""
    high, low = pl.col("high"), pl.col("low")
    faults = [(name, pl.col(name).is_null(), pl.lit("no value")) for name in NUMBERS]
    faults += [
        (name, ~pl.col(name).is_finite() | (pl.col(name) <= 0), pl.lit("a price must be above 0"))
        for name in PRICES
    ]
    faults.append(
        (
            "volume",
            ~pl.col("volume").is_finite() | (pl.col("volume") < 0),
            pl.lit("a volume can't be negative"),
        )
    )
    apart = {name: _hundredfold(pl.col(name) / pl.col("close")) for name in ("open", "high", "low")}
    unit = pl.format("another unit than close {}: off by a hundred", "close")
    faults.append(
        (
            "close",
            pl.sum_horizontal(bad.cast(pl.Int32) for bad in apart.values()) >= 2,
            pl.format("another unit than open {}: off by a hundred", "open"),
        )
    )
    faults += [(name, bad, unit) for name, bad in apart.items()]
    faults.append(("high", high < low * (1 - SAME), pl.format("high lies below the low {}", "low")))
    if asset_class not in SETTLED_ELSEWHERE:
        for name in ("open", "close"):
            price = pl.col(name)
            outside = (price > high * (1 + SAME)) | (price < low * (1 - SAME))
            text = pl.format("outside the day's range {} to {}", "low", "high")
            faults.append((name, outside, text))
    return faults


def _hundredfold(ratio: pl.Expr) -> pl.Expr:
    low, high = HUNDREDFOLD
    return reduce(or_, [ratio.is_between(low, high), ratio.is_between(1 / high, 1 / low)])


def _same(values: pl.Series) -> bool:
    """All null, or all within `SAME` of the first."""
    first = values[0]
    if first is None or values.null_count():
        return values.null_count() == len(values)
    return bool(((values - first).abs() <= SAME * abs(first)).all())


def _refs(ask: Ask, rows: pl.DataFrame) -> list[str]:
    """`symbol:stamp` of every row, with a number where a stamp comes again."""
    seen: dict[int, int] = {}
    refs = []
    for stamp in rows["stamp"]:
        seen[stamp] = seen.get(stamp, 0) + 1
        again = f"/{seen[stamp]}" if seen[stamp] > 1 else ""
        refs.append(f"{ask.symbol}:{stamp}{again}")
    return refs


def _text(value: float | None) -> str:
    return "null" if value is None else f"{value:.10g}"
