"""A provider for the benchmarks: the test server of Yahoo's protocol in a process of its own.

with Provider(symbols=100, sessions=5000, until=date(2026, 1, 30)) as provider:
    settings = Settings(home=home, yahoo_url=provider.url)
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import polars as pl

from stock_platform import calendars
from stock_platform.universe import Instrument, Validity
from tests.support.yahoo_market import Cash, Listing, Split
from tests.support.yahoo_server import YahooServer

CALENDAR = "XNYS"


def days(sessions: int, until: date) -> list[date]:
    """The last sessions up to a day, included."""
    since = until - timedelta(days=int(sessions * 1.5) + 20)
    return calendars.sessions(CALENDAR, since, until)[-sessions:]


def instruments(symbols: int, first: date) -> list[Instrument]:
    """S000, S001 and so on, listed since `first`."""
    return [
        Instrument(
            instrument_id=f"XNYS:{symbol}",
            symbol=symbol,
            name=symbol,
            asset_class="equity",
            calendar=CALENDAR,
            currency="USD",
            sector="",
            first_session=first,
            symbols={"yahoo": (Validity(symbol),)},
        )
        for symbol in (f"S{n:03d}" for n in range(symbols))
    ]


class Provider:
    """Listings of `symbols` shares over the last `sessions` up to `until`.

    Each pays a dividend four times a year and has split once. Bodies are made ahead of time.
    """

    def __init__(self, symbols: int, sessions: int, until: date) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, symbols, days(sessions, until)), daemon=True
        )

    def __enter__(self) -> Provider:
        self._process.start()
        self.url = str(self._pipe.recv())
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(10)

    @property
    def seconds(self) -> float:
        """The server's own time so far."""
        return float(self._tell("seconds"))

    @property
    def requests(self) -> int:
        """Requests so far, those for cookie and crumb included."""
        return int(self._tell("requests"))

    def at(self, now: datetime, *since: date) -> None:
        """Set the provider's clock, and make the bodies for histories from each of `since`."""
        self._tell("at", now, *since)

    def _tell(self, *command: Any) -> Any:
        self._pipe.send(command)
        return self._pipe.recv()


def _serve(pipe: Connection, symbols: int, sessions: list[date]) -> None:
    listings = [_listing(f"S{n:03d}", n, sessions) for n in range(symbols)]
    with YahooServer(listings) as server:

        def at(now: datetime, *since: date) -> None:
            server.now = now
            server.changed()
            for day in since:
                server.prepare(day)

        answers: dict[str, Callable[..., Any]] = {
            "seconds": lambda: server.seconds,
            "requests": lambda: len(server.seen),
            "at": at,
        }
        pipe.send(server.url)
        while command := pipe.recv():
            name, *arguments = command
            pipe.send(answers[name](*arguments))


def _listing(symbol: str, seed: int, sessions: list[date]) -> Listing:
    random = np.random.default_rng(seed)
    count = len(sessions)
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    split = sessions[count // 2]
    close[count // 2 :] /= 2
    opened = close * (1 + random.normal(0, 0.003, count))
    bars = pl.DataFrame(
        {
            "session": sessions,
            "open": opened,
            "high": np.maximum(close, opened) * 1.004,
            "low": np.minimum(close, opened) * 0.996,
            "close": close,
            "volume": random.integers(100_000, 90_000_000, count).astype(float),
        }
    )
    paid = [Cash(day, 0.25) for day in sessions[30::63]]
    return Listing(symbol, bars, splits=[Split(split, 2)], cash=paid)


def evening(day: date) -> datetime:
    """After the close in New York: the day's bar is there, and not yet due."""
    return datetime.combine(day, time(23), UTC)
