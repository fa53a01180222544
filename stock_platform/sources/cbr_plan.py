"""What to ask the Central Bank of Russia, in as few requests as answer it.

What lives here decides which quotations are wanted and turns them into requests. What does not:
sending them (`cbr_client.py`) and what becomes of the answers (`cbr_rows.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import polars as pl

from stock_platform.lake.schema import FINAL
from stock_platform.sources import base
from stock_platform.sources.symbols import CBR_CALENDAR
from stock_platform.universe import Instrument

NAME = "cbr"
CALENDAR = CBR_CALENDAR
DATASETS = {"metal": "metal_prices", "fx": "fx_rates"}
"""Asset class -> dataset. The bank publishes all of a dataset's quotations of a day together."""

METALL, DYNAMIC, DAILY = "xml_metall.asp", "XML_dynamic.asp", "XML_daily.asp"

_DAYS = ("date_req", "date_req1", "date_req2")

Known = Callable[[str, date, date], pl.DataFrame]
"""The lake as of now: (dataset, first, last) -> its current rows, of any source."""

KEY = ("instrument_id", "session")

MARGIN = timedelta(days=14)
"""How far a request for a range reaches past what is wanted, for it costs nothing: a day without
quotations is known to be closed when later days have some, and the longest closures last ten."""


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        codes: the metals' codes or currencies' ids wanted from it, sorted.
        first, last: the days asked for.
    """

    dataset: str
    endpoint: str
    codes: tuple[str, ...]
    first: date
    last: date

    @property
    def by_day(self) -> bool:
        """True when it asks for one day of all currencies."""
        return self.endpoint == DAILY

    @property
    def request(self) -> str:
        """Path and query under the bank's base URL; equal requests ask the same."""
        if self.by_day:
            days = {"date_req": _written(self.first)}
        else:
            days = {"date_req1": _written(self.first), "date_req2": _written(self.last)}
        if self.endpoint == DYNAMIC:
            days["VAL_NM_RQ"] = self.codes[0]
        return f"/scripts/{self.endpoint}?{urlencode(days, safe='/')}"


def codes(instruments: list[Instrument], first: date, last: date) -> pl.DataFrame:
    """Which code means which instrument on which days.

    Returns:
        instrument_id, symbol, currency, dataset, code, from, to.
    """
    rows = [
        (i.instrument_id, i.symbol, i.currency, DATASETS[i.asset_class], code, start, end)
        for i in instruments
        for code, start, end in i.symbol_spans(
            NAME, max(first, i.first_session), min(last, i.last_session or last)
        )
    ]
    names = ("instrument_id", "symbol", "currency", "dataset", "code")
    shape = {name: pl.String() for name in names} | {"from": pl.Date(), "to": pl.Date()}
    return pl.DataFrame(rows, schema=shape, orient="row")


def wanted(
    instruments: list[Instrument], first: date, last: date, known_at: datetime
) -> pl.DataFrame:
    """Every quotation expected for the days from `first` to `last` that is valid by `known_at`.

    Returns:
        instrument_id, symbol, currency, dataset, code, session, open_at; ordered.
    """
    about = pl.DataFrame(
        [(i.instrument_id, i.symbol, DATASETS[i.asset_class]) for i in instruments],
        schema=["instrument_id", "symbol", "dataset"],
        orient="row",
    )
    return (
        base.expected(instruments, first, last, NAME)
        .filter(pl.col("open_at") <= known_at)
        .rename({"symbol": "code"})
        .join(about, on="instrument_id")
        .select(*KEY, "symbol", "currency", "dataset", "code", "open_at")
        .sort("dataset", *KEY)
    )


def unsettled(expected: pl.DataFrame, known: Known, window: date) -> pl.DataFrame:
    """Those that still have to be asked for.

    Settled is, before `window`, what the lake has as final, and what the bank's answer lacked
    although it holds later days. What failed, or was refused, is asked for again.

    Args:
        expected: from `wanted`.
        known: the lake.
        window: sessions from this day on are asked for again in any case.
    """
    if expected.is_empty():
        return expected
    first, last = ends(expected)
    told = _ours(known("coverage", first, last)).filter(
        pl.col("row_ref") == "",
        pl.col("finality") == FINAL,
        pl.col("field") == "",
        pl.col("reason").is_in(["closed", "provider_missing"]),
    )
    parts = []
    for dataset in DATASETS.values():
        held = _ours(known(dataset, first, last)).filter(pl.col("finality") == FINAL)
        newest = held["session"].max()
        absent = told.filter(pl.col("session") < newest) if newest is not None else told.head(0)
        settled = pl.concat([held.select(KEY), absent.select(KEY)])
        parts.append(
            expected.filter(pl.col("dataset") == dataset).join(
                settled.filter(pl.col("session") < window), on=KEY, how="anti"
            )
        )
    return pl.concat(parts)


def held_days(expected: pl.DataFrame, known: Known) -> dict[str, set[date]]:
    """By dataset, the days the bank has published something for, as the lake knows."""
    if expected.is_empty():
        return {dataset: set() for dataset in DATASETS.values()}
    first, last = ends(expected)
    return {
        dataset: set(_ours(known(dataset, first, last))["session"]) for dataset in DATASETS.values()
    }


def ends(frame: pl.DataFrame) -> tuple[date, date]:
    """First and last session of a frame that has rows."""
    first, last = frame["session"].min(), frame["session"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    return first, last


def asks(pending: pl.DataFrame, today: date) -> list[Ask]:
    """The fewest requests that answer `pending` (the columns of `wanted`).

    Metals: one for any range. Currencies: one per currency for its own range, or one per day for
    all of them, whichever are fewer. No day after `today` (in Moscow) is asked for.
    """
    found = []
    metals = pending.filter(pl.col("dataset") == "metal_prices")
    if metals.height:
        found.append(_ask(METALL, metals, today))
    rates = pending.filter(pl.col("dataset") == "fx_rates")
    if rates.height:
        first, last = ends(rates)
        days = (last - first).days + 1
        if days < rates["code"].n_unique():
            # Every day, not only those of the calendar: it may lack one that the bank has.
            for day in (first + timedelta(n) for n in range(days)):
                all_codes = tuple(sorted(rates["code"].unique()))
                found.append(Ask("fx_rates", DAILY, all_codes, day, day))
        else:
            for _, of_code in sorted(rates.group_by("code"), key=lambda item: str(item[0])):
                found.append(_ask(DYNAMIC, of_code, today))
    return found


def recorded(requests: Iterable[str], instruments: list[Instrument]) -> list[Ask]:
    """The asks that were written as these `Ask.request`.

    Args:
        requests: of one load.
        instruments: those of that load; of a request that names no code, all of them were wanted.
    """
    of_dataset = {
        dataset: tuple(
            sorted(
                row.symbol
                for one in instruments
                if DATASETS[one.asset_class] == dataset
                for row in one.symbols[NAME]
            )
        )
        for dataset in DATASETS.values()
    }
    found = []
    for request in requests:
        parts = urlsplit(request)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        endpoint = parts.path.rsplit("/", 1)[-1]
        dataset = "metal_prices" if endpoint == METALL else "fx_rates"
        days = [_read(asked[name]) for name in _DAYS if name in asked]
        code = asked.get("VAL_NM_RQ")
        codes = of_dataset[dataset] if code is None else (code,)
        found.append(Ask(dataset, endpoint, codes, days[0], days[-1]))
    return found


def within(pending: pl.DataFrame, asks: Sequence[Ask]) -> pl.DataFrame:
    """What of `pending` (the columns of `wanted`) some asks are about.

    The plan of a replayed load is another one than it was when the lake held other rows then: those
    of a load that was killed, or that was not recorded.
    """
    spans = pl.DataFrame(
        [(ask.dataset, code, ask.first, ask.last) for ask in asks for code in ask.codes],
        schema={"dataset": pl.String, "code": pl.String, "from": pl.Date, "to": pl.Date},
        orient="row",
    )
    asked = pending.join(spans, on=["dataset", "code"]).filter(
        pl.col("session").is_between("from", "to")
    )
    return pending.join(asked, on=["dataset", *KEY], how="semi", maintain_order="left")


def _ask(endpoint: str, pending: pl.DataFrame, today: date) -> Ask:
    first, last = ends(pending)
    dataset: str = pending["dataset"][0]
    wide = first - MARGIN, min(last + MARGIN, max(last, today))
    return Ask(dataset, endpoint, tuple(sorted(pending["code"].unique())), *wide)


def _ours(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("source") == NAME)


def _written(day: date) -> str:
    return day.strftime("%d/%m/%Y")


def _read(text: str) -> date:
    day, month, year = text.split("/")
    return date(int(year), int(month), int(day))
