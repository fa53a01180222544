"""Listings as they traded, and the chart v8 body Yahoo would make of one at a given moment.

Yahoo states every price in the shares there are now: it divides what traded before a split, and
multiplies the volume, from the day it applies the split.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

COLUMNS = ("open", "high", "low", "close", "volume")
Row = tuple[int, float | None, float | None, float | None, float | None, float | None]
"""Stamp, open, high, low, close, volume; sent as they are."""


@dataclass(frozen=True)
class Split:
    """New shares per old. Yahoo divides from `applied_on` and lists it from `listed_on`, both of
    which are the ex-date unless it is late or early."""

    ex_date: date
    numerator: float
    denominator: float = 1
    applied_on: date | None = None
    listed_on: date | None = None

    @property
    def ratio(self) -> float:
        return self.numerator / self.denominator


@dataclass(frozen=True)
class Cash:
    """A payment per share as traded on its ex-date."""

    ex_date: date
    amount: float
    kind: str = "dividends"
    """Or `capitalGains`."""
    currency: str = ""
    listed_on: date | None = None


@dataclass
class Listing:
    """One symbol. `bars`: session, open, high, low, close, volume as traded, null where unknown."""

    symbol: str
    bars: pl.DataFrame
    splits: Sequence[Split] = ()
    cash: Sequence[Cash] = ()
    currency: str | None = "USD"
    time_zone: str = "America/New_York"
    opens: time = time(9, 30)
    closes: time = time(16)
    exchange: str = "NasdaqGS"
    instrument_type: str = "EQUITY"
    missing: set[date] = field(default_factory=set)
    """Sessions left out for the time being."""
    extra: list[Row] = field(default_factory=list)
    """Further rows put behind those of an earlier or the same stamp."""
    live: Row | None = None
    """The price of now, the last row of all."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Put over the body's own."""

    def stamps(self, sessions: pl.Series, at: time) -> pl.Series:
        """Epoch seconds of a local time on days."""
        moment = pl.col("day").dt.combine(at).dt.replace_time_zone(self.time_zone)
        return pl.DataFrame({"day": sessions}).select(moment.dt.epoch("s"))["day"]


def bars_of(rows: Sequence[tuple[date, float, float]]) -> pl.DataFrame:
    """Bars from (session, close, volume) with a little room around the close."""
    close = [row[1] for row in rows]
    return pl.DataFrame(
        {
            "session": [row[0] for row in rows],
            "open": close,
            "high": [price * 1.01 for price in close],
            "low": [price * 0.99 for price in close],
            "close": close,
            "volume": [float(row[2]) for row in rows],
        }
    )


def chart(listing: Listing, now: datetime, since: int, until: int) -> bytes | None:
    """The body for stamps in [since, until) at the provider's `now`; None: no bar in that range."""
    today = now.astimezone(ZoneInfo(listing.time_zone)).date()
    bars = listing.bars.filter(~pl.col("session").is_in(list(listing.missing)))
    stamps = listing.stamps(bars["session"], listing.opens).to_numpy()
    inside = (stamps >= since) & (stamps < min(until, now.timestamp() + 1))
    sessions = bars["session"].to_numpy()[inside]
    rows = [
        stamps[inside],
        *(_in_basis(listing, name, bars, today).astype(np.float32)[inside] for name in COLUMNS),
    ]
    table = [[_plain(value) for value in column] for column in rows]
    adjusted = _adjusted(listing, sessions, np.array(rows[4], dtype=float), today)
    table.append([_plain(value) for value in adjusted.astype(np.float32)])
    extra = [row for row in listing.extra if since <= row[0] < until]
    if listing.live:
        extra.append(listing.live)
    for row in extra:
        place = sum(stamp <= row[0] for stamp in table[0]) if row != listing.live else len(table[0])
        for column, value in zip(table, (*row, row[4]), strict=True):
            column.insert(place, value)
    if not table[0]:
        return None
    result: dict[str, Any] = {
        "meta": _meta(listing, now, table),
        "timestamp": table[0],
        "indicators": {
            "quote": [dict(zip(COLUMNS, table[1:6], strict=True))],
            "adjclose": [{"adjclose": table[6]}],
        },
    }
    if events := _events(listing, today, since, until):
        result["events"] = events
    return json.dumps(
        {"chart": {"result": [result], "error": None}}, separators=(",", ":")
    ).encode()


def _plain(value: Any) -> int | float | None:
    number = float(value)
    if number != number:  # NaN
        return None
    return int(number) if number.is_integer() else number


def _factor(listing: Listing, sessions: Any, today: date) -> Any:
    """What prices of the sessions are divided by today."""
    factor = np.ones(len(sessions))
    for split in listing.splits:
        if (split.applied_on or split.ex_date) <= today:
            factor[sessions < np.datetime64(split.ex_date)] *= split.ratio
    return factor


def _in_basis(listing: Listing, name: str, bars: pl.DataFrame, today: date) -> Any:
    factor = _factor(listing, bars["session"].to_numpy(), today)
    values = bars[name].cast(pl.Float64).to_numpy()
    return np.round(values * factor) if name == "volume" else values / factor


def _adjusted(listing: Listing, sessions: Any, close: Any, today: date) -> Any:
    """Closes less the dividends that followed, as Yahoo's adjclose."""
    result = close.copy()
    for cash in listing.cash:
        before = sessions < np.datetime64(cash.ex_date)
        if cash.ex_date <= today and before.any():
            paid = cash.amount / _factor(listing, np.array([np.datetime64(cash.ex_date)]), today)[0]
            result[before] *= 1 - paid / close[before][-1]
    return result


def _events(listing: Listing, today: date, since: int, until: int) -> dict[str, Any]:
    events: dict[str, dict[str, Any]] = {}
    for action in (*listing.cash, *listing.splits):
        stamp = listing.stamps(pl.Series([action.ex_date]), listing.opens)[0]
        if (action.listed_on or action.ex_date) > today or not since <= stamp < until:
            continue
        if isinstance(action, Split):
            kind = "splits"
            event = {
                "date": stamp,
                "numerator": action.numerator,
                "denominator": action.denominator,
                "splitRatio": f"{action.numerator:g}:{action.denominator:g}",
            }
        else:
            kind = action.kind
            basis = _factor(listing, np.array([np.datetime64(action.ex_date)]), today)[0]
            event = {"amount": round(action.amount / basis, 6), "date": stamp}
            if action.currency:
                event["currency"] = action.currency
        events.setdefault(kind, {})[str(stamp)] = event
    return events


def _meta(listing: Listing, now: datetime, table: list[list[Any]]) -> dict[str, Any]:
    zone = ZoneInfo(listing.time_zone)
    local = now.astimezone(zone)
    offset = int((local.utcoffset() or timedelta()).total_seconds())
    name = local.tzname()
    day = pl.Series([local.date()])
    opens, closes = (listing.stamps(day, at)[0] for at in (listing.opens, listing.closes))

    def period(start: int, end: int) -> dict[str, Any]:
        return {"timezone": name, "start": start, "end": end, "gmtoffset": offset}

    return {
        "currency": listing.currency,
        "symbol": listing.symbol,
        "exchangeName": listing.exchange[:3].upper(),
        "fullExchangeName": listing.exchange,
        "instrumentType": listing.instrument_type,
        "firstTradeDate": int(listing.stamps(listing.bars["session"].head(1), listing.opens)[0]),
        "regularMarketTime": min(int(now.timestamp()), table[0][-1] + (closes - opens)),
        "hasPrePostMarketData": True,
        "gmtoffset": offset,
        "timezone": name,
        "exchangeTimezoneName": listing.time_zone,
        "regularMarketPrice": table[4][-1],
        "chartPreviousClose": table[4][0],
        "priceHint": 2,
        "currentTradingPeriod": {
            "pre": period(opens, opens),
            "regular": period(opens, closes),
            "post": period(closes, closes),
        },
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        **listing.meta,
    }


def moment(text: str) -> datetime:
    """An aware UTC moment from ISO text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
