"""Reads the body of one chart answer of Yahoo Finance: bars and actions exactly as they were sent.

What does not live here: what makes a bar good, whose session it is and which basis it is stated in
(`yahoo_rows.py`). yfinance asks, and this reads: the frame that yfinance makes of the same body
keeps one row a day and says 0 where Yahoo said nothing, so what a bar is judged by can't come from
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson
import polars as pl

from stock_platform.sources.fetching import (
    BAD_REQUEST,
    CONSENT_PAGE,
    EMPTY,
    MALFORMED,
    NOT_FOUND,
    RATE_LIMITED,
    SERVER_ERROR,
    UNAUTHORIZED,
    FetchError,
)

PRICES = ("open", "high", "low", "close", "volume")
BARS = {
    "session": pl.Date(),
    "stamp": pl.Int64(),
    **dict.fromkeys(PRICES, pl.Float64()),
    "adjusted": pl.Float64(),
}
ACTIONS = {
    "session": pl.Date(),
    "action": pl.String(),
    "value": pl.Float64(),
    "currency": pl.String(),
}
_EVENTS = {"splits": "split", "dividends": "dividend", "capitalGains": "capital_gain"}
_NO_RANGE = "Data doesn't exist"
"""Yahoo's 400 for a range without a single bar, such as the days since a delisting."""


@dataclass(frozen=True)
class Chart:
    """What one body says; `bars` and `actions` as in `yahoo_client.Answer`."""

    currency: str
    time_zone: str
    exchange: str
    first_trade: date | None
    bars: pl.DataFrame
    actions: pl.DataFrame


def failure(symbol: str, status: int, body: bytes) -> FetchError | None:
    """What is wrong with an answer as its status and first bytes tell; None: read the body."""
    said = body.strip()[:200]
    text = said.decode("utf-8", "replace").replace("\n", " ")

    def fails(kind: str) -> FetchError:
        return FetchError(
            kind, f"Yahoo answered {symbol} with status {status}: {text or '(empty)'}"
        )

    if status == 429 or (len(body) < 200 and b"Too Many Requests" in said):
        return fails(RATE_LIMITED)
    if status in (401, 403):
        return fails(UNAUTHORIZED)
    if status >= 500:
        return fails(SERVER_ERROR)
    if said.startswith(b"<"):
        # Before 404: a proxy's or a portal's page says nothing about the symbol.
        return fails(CONSENT_PAGE)
    if status >= 400 and not said.startswith(b"{"):
        return fails(MALFORMED)
    if status == 404:
        return fails(NOT_FOUND)
    if status >= 400:
        return fails(EMPTY if _NO_RANGE in text else BAD_REQUEST)
    return None


def read(symbol: str, body: bytes) -> Chart:
    """Bars and actions of a body that came with status 200.

    Raises:
        FetchError: `malformed` when it is no chart of the symbol, `empty` when it has no bar; or
            the failure that it states itself.
    """
    try:
        document = orjson.loads(body)
        chart = document["chart"]
        if chart.get("error"):
            raise _stated(symbol, chart["error"])
        if not chart["result"]:
            raise FetchError(EMPTY, f"Yahoo sent no result for {symbol}")
        result = chart["result"][0]
        meta = result["meta"]
        if str(meta["symbol"]).upper() != symbol.upper():
            raise FetchError(MALFORMED, f"Yahoo sent {meta['symbol']} when asked for {symbol}")
        if not result.get("timestamp"):
            raise FetchError(EMPTY, f"Yahoo sent no bar for {symbol}")
        time_zone = str(meta["exchangeTimezoneName"])
        return Chart(
            currency=str(meta.get("currency") or ""),
            time_zone=time_zone,
            exchange=str(meta.get("fullExchangeName") or meta.get("exchangeName") or ""),
            first_trade=_first_trade(meta.get("firstTradeDate"), time_zone),
            bars=_bars(result, time_zone),
            actions=_actions(result.get("events") or {}, time_zone),
        )
    except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise FetchError(
            MALFORMED, f"Yahoo's answer for {symbol} can't be read: {type(error).__name__}: {error}"
        ) from error


def _stated(symbol: str, error: Mapping[str, Any]) -> FetchError:
    """The failure that a chart carries in itself, which Yahoo sends with any status."""
    code, text = str(error.get("code")), str(error.get("description"))
    if _NO_RANGE in text:
        kind = EMPTY
    else:
        kind = {
            "Not Found": NOT_FOUND,
            "Bad Request": BAD_REQUEST,
            "Unauthorized": UNAUTHORIZED,
        }.get(code, SERVER_ERROR)
    return FetchError(kind, f"Yahoo answered {symbol} with {code}: {text}")


def _bars(result: Mapping[str, Any], time_zone: str) -> pl.DataFrame:
    quote = result["indicators"]["quote"][0]
    columns = {"stamp": result["timestamp"], **{name: quote[name] for name in PRICES}}
    adjusted = (result["indicators"].get("adjclose") or [{}])[0].get("adjclose")
    columns["adjusted"] = adjusted or [None] * len(columns["stamp"])
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    frame = pl.DataFrame(
        [pl.Series(name, values, dtype=BARS[name]) for name, values in columns.items()]
    )
    return frame.select(_session(time_zone), pl.all())


def _actions(events: Mapping[str, Any], time_zone: str) -> pl.DataFrame:
    rows = [
        (event["date"], action, _value(action, event), event.get("currency") or None)
        for name, action in _EVENTS.items()
        for event in (events.get(name) or {}).values()
    ]
    frame = pl.DataFrame(
        rows,
        schema={"stamp": pl.Int64(), **{k: v for k, v in ACTIONS.items() if k != "session"}},
        orient="row",
    )
    return frame.select(_session(time_zone), pl.exclude("stamp")).sort("session", "action")


def _value(action: str, event: Mapping[str, Any]) -> float:
    if action == "split":
        return float(event["numerator"]) / float(event["denominator"] or "nan")
    return float(event["amount"])


def _session(time_zone: str) -> pl.Expr:
    """The exchange's day of `stamp`.

    Yahoo stamps some days one or two hours before their midnight when a clock change went wrong;
    yfinance (`utils.fix_Yahoo_dst_issue`) takes 22:00 and 23:00 sharp as the day that follows.
    """
    moment = pl.from_epoch("stamp", "s").dt.replace_time_zone("UTC").dt.convert_time_zone(time_zone)
    early = (moment.dt.hour() >= 22) & (moment.dt.minute() == 0)
    return (moment.dt.date() + pl.duration(days=early.cast(pl.Int64))).alias("session")


def _first_trade(stamp: int | None, time_zone: str) -> date | None:
    if stamp is None:
        return None
    from zoneinfo import ZoneInfo

    return datetime.fromtimestamp(stamp, UTC).astimezone(ZoneInfo(time_zone)).date()
