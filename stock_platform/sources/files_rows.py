"""Judges rows: good bars on one side, rejected rows with field, value and reason on the other.

What lives here: every check of a single bar and of two bars for one session. What does not: reading
(`files_reading.py`), basis (`basis.py`). No value is ever mended: a row is kept as printed or kept
out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl

SAME_PRICE = 1e-5
"""Prices within this relative distance are one price (the lake's own rule for revisions). So a
close that rounding put above the high is kept as printed; a cent above a high of 100 is not."""

PRICES = ("open", "high", "low", "close")

REJECT_SCHEMA = pl.Schema(
    {
        "file": pl.Int32(),
        "row": pl.Int64(),
        "instrument_id": pl.String(),
        "symbol": pl.String(),
        "session": pl.Date(),
        "open_at": pl.Datetime("us", "UTC"),
        "field": pl.String(),
        "value": pl.String(),
        "detail": pl.String(),
    }
)
"""A rejected row; `session` null, `instrument_id` '' where the row does not tell a usable one.
`open_at` is null where there is no session or its calendar is closed."""


@dataclass(frozen=True)
class Judged:
    """Rows told apart.

    Attributes:
        good: the input's columns with numbers parsed (Float64), `session`, `open_at`, `close_at`.
        rejected: `REJECT_SCHEMA`.
        duplicates: rows left out because an earlier row says exactly the same.
    """

    good: pl.DataFrame
    rejected: pl.DataFrame
    duplicates: int = 0


@dataclass(frozen=True)
class Check:
    """One way a row can be bad: `bad` is true, and `value` (default: the field's) is to blame.

    With `undated` the row tells no usable symbol or no usable date.
    """

    field: str
    bad: pl.Expr
    detail: pl.Expr
    value: pl.Expr | None = None
    undated: bool = False


def locate(
    rows: pl.LazyFrame,
    instruments: pl.DataFrame | None,
    sessions: pl.DataFrame,
    *,
    calendar: str,
    currency: str,
) -> pl.LazyFrame:
    """Rows with their instrument and session looked up; null where there is none.

    Args:
        rows: symbol, date (str), `day` (Date, null where the date can't be read), and others.
        instruments: symbol, instrument_id, calendar, currency, first_session, last_session (either
            date null: open), means_from, means_until: of a symbol that several instruments had one
            after the other, the days (the second not included; null: open) on which a row is this
            one's; None: every symbol is an instrument of the default calendar.
        sessions: calendar, session, open_at, close_at.
        calendar: of a symbol when `instruments` is None.
        currency: likewise.
    """
    if instruments is None:
        rows = rows.with_columns(
            pl.format("{}:{}", pl.lit(calendar), "symbol").alias("instrument_id"),
            pl.lit(calendar).alias("calendar"),
            pl.lit(currency).alias("currency"),
            pl.lit(None, pl.Date).alias("first_session"),
            pl.lit(None, pl.Date).alias("last_session"),
        )
    else:
        day, start, until = pl.col("day"), pl.col("means_from"), pl.col("means_until")
        rows = rows.join(instruments.lazy(), on="symbol", how="left")
        if instruments["symbol"].is_duplicated().any():
            meant = (start.is_null() | (day >= start)) & (until.is_null() | (day < until))
            rows = rows.filter(pl.when(day.is_null()).then(start.is_null()).otherwise(meant))
        rows = rows.drop("means_from", "means_until")
    return rows.join(
        sessions.lazy(), left_on=["calendar", "day"], right_on=["calendar", "session"], how="left"
    )


def where_checks(bounds: dict[str, tuple[date, date]], date_format: str) -> list[Check]:
    """The checks of a located row's symbol and date; shared by bars and corporate actions."""
    start = pl.col("calendar").replace_strict({c: b[0] for c, b in bounds.items()}, default=None)
    end = pl.col("calendar").replace_strict({c: b[1] for c, b in bounds.items()}, default=None)
    day = pl.col("day")
    return [
        Check(
            "line",
            pl.col("malformed").is_not_null(),
            pl.col("malformed"),
            pl.col("line"),
            undated=True,
        ),
        Check("symbol", pl.col("symbol") == "", pl.lit("no symbol"), undated=True),
        Check("date", day.is_null(), pl.lit(f"not a date written as {date_format}"), undated=True),
        Check(
            "symbol",
            pl.col("instrument_id").is_null(),
            pl.lit("unknown symbol: not among the listed instruments"),
            undated=True,
        ),
        Check(
            "date",
            ~day.is_between(start, end),
            pl.format("outside the days calendar {} covers ({} to {})", "calendar", start, end),
            undated=True,
        ),
        Check(
            "date",
            pl.col("open_at").is_null(),
            pl.format("calendar {} is closed on this day", "calendar"),
        ),
        Check(
            "date",
            day < pl.col("first_session"),
            pl.format("before the instrument's first session {}", "first_session"),
        ),
        Check(
            "date",
            day > pl.col("last_session"),
            pl.format("after the instrument's last session {}", "last_session"),
        ),
    ]


def number_check(field: str) -> Check:
    """A field that must hold a finite number; `<field>_` is the parsed value."""
    empty = pl.col(field) == ""
    return Check(
        field,
        ~pl.col(f"{field}_").is_finite().fill_null(False),
        pl.when(empty).then(pl.lit("empty")).otherwise(pl.lit("not a number")),
    )


def bar_checks(*, with_adj_close: bool) -> list[Check]:
    """The checks of a bar's numbers."""
    open_, high, low, close = (pl.col(f"{name}_") for name in PRICES)
    prices = (*PRICES, "adj_close") if with_adj_close else PRICES
    checks = [number_check(name) for name in (*prices, "volume")]
    checks += [
        Check(name, pl.col(f"{name}_") <= 0, pl.lit("a price must be above 0")) for name in prices
    ]
    checks.append(Check("volume", pl.col("volume_") < 0, pl.lit("volume can't be negative")))
    checks.append(
        Check("high", high < low * (1 - SAME_PRICE), pl.format("high lies below the low {}", "low"))
    )
    for name, price in (("open", open_), ("close", close)):
        outside = (price > high * (1 + SAME_PRICE)) | (price < low * (1 - SAME_PRICE))
        checks.append(
            Check(name, outside, pl.format("outside the day's range {} to {}", "low", "high"))
        )
    return checks


def judge(rows: pl.LazyFrame, checks: list[Check], numbers: tuple[str, ...]) -> Judged:
    """Split located rows by the first check each fails.

    Args:
        rows: from `locate`, with file, row, line, malformed and the string columns of `numbers`.
        checks: in the order in which a row's first fault is sought.
        numbers: string columns to parse.
    """
    failed = pl.coalesce(
        pl.when(check.bad).then(pl.lit(i, pl.Int16)) for i, check in enumerate(checks)
    )
    parsed = {name: f"{name}_" for name in numbers}
    marked = rows.with_columns(
        pl.col(name).cast(pl.Float64, strict=False).alias(to) for name, to in parsed.items()
    ).with_columns(failed.alias("failed"))
    text = ("failed", "line", "malformed", "date", "day")
    good = marked.filter(pl.col("failed").is_null()).select(
        pl.exclude(*text, *numbers, *parsed.values()),
        pl.col("day").alias("session"),
        *[pl.col(to).alias(name) for name, to in parsed.items()],
    )
    bad = marked.filter(pl.col("failed").is_not_null())
    kept, out = pl.collect_all([good, bad], engine="streaming")
    return Judged(kept, _explained(out, checks))


def _explained(bad: pl.DataFrame, checks: list[Check]) -> pl.DataFrame:
    def pick(part: Callable[[Check], pl.Expr]) -> pl.Expr:
        return pl.coalesce(
            pl.when(pl.col("failed") == i).then(part(check)) for i, check in enumerate(checks)
        )

    undated = [i for i, check in enumerate(checks) if check.undated]
    legible = pl.col("malformed").is_null()
    return bad.select(
        pl.col("file"),
        pl.col("row"),
        pl.when(legible).then("instrument_id").fill_null("").alias("instrument_id"),
        pl.when(legible).then("symbol").otherwise(pl.lit("")).alias("symbol"),
        pl.when(~pl.col("failed").is_in(undated)).then("day").alias("session"),
        pl.when(~pl.col("failed").is_in(undated)).then("open_at").alias("open_at"),
        pick(lambda c: pl.lit(c.field)).alias("field"),
        pick(lambda c: pl.col(c.field) if c.value is None else c.value).alias("value"),
        pick(lambda c: c.detail).alias("detail"),
    ).cast(REJECT_SCHEMA)


def without_duplicates(
    judged: Judged, key: tuple[str, ...], values: tuple[str, ...], file_names: list[str]
) -> Judged:
    """One row per key: of rows that say the same the first is kept, rows that differ are rejected.

    Args:
        judged: rows with file and row.
        key: what names a row.
        values: the numbers that have to agree.
        file_names: by the number in column `file`.
    """
    order = (*key, "file", "row")
    twice = judged.good.filter(pl.struct(key).is_duplicated()).sort(order)
    if twice.is_empty():
        return Judged(judged.good.sort(key), judged.rejected, judged.duplicates)
    agree = pl.all_horizontal(pl.col(v) == pl.col(v).first().over(key) for v in values)
    twice = twice.with_columns(agree.alias("agree")).with_columns(
        pl.col("agree").all().over(key).alias("same"),
        (pl.int_range(pl.len()).over(key) == 0).alias("first"),
    )
    good = pl.concat(
        [
            judged.good.filter(~pl.struct(key).is_duplicated()),
            twice.filter("same", "first").select(judged.good.columns),
        ]
    ).sort(key)
    rejected = pl.concat([judged.rejected, _conflicts(twice, key, values, file_names)])
    return Judged(good, rejected, twice.filter(pl.col("same") & ~pl.col("first")).height)


def _conflicts(
    twice: pl.DataFrame, key: tuple[str, ...], values: tuple[str, ...], file_names: list[str]
) -> pl.DataFrame:
    """Each row that differs from another of its key, with the first field in which any differ."""
    rows = twice.filter(~pl.col("same"))
    differs = [pl.col(v).n_unique().over(key) > 1 for v in values]
    name = pl.coalesce(pl.when(d).then(pl.lit(v)) for v, d in zip(values, differs, strict=True))
    value = pl.coalesce(
        pl.when(d).then(pl.col(v).cast(pl.String)) for v, d in zip(values, differs, strict=True)
    )
    places = pl.format(
        "{}:{} says {}", pl.col("file").replace_strict(dict(enumerate(file_names))), "row", "value"
    )
    return (
        rows.with_columns(name.alias("field"), value.alias("value"))
        .with_columns(places.str.join("; ").over(key).alias("places"))
        .select(
            pl.col(c) if c != "detail" else pl.format("rows disagree: {}", "places").alias("detail")
            for c in REJECT_SCHEMA
        )
        .cast(REJECT_SCHEMA)
    )
