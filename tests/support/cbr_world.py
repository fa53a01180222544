"""The bank as a source, with a clock of its own, at a local bank; and loads of it into a lake."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from stock_platform import calendars, universe
from stock_platform.sources.cbr import CbrSource
from stock_platform.sources.cbr_client import CbrClient
from stock_platform.sources.fetching import Gate
from stock_platform.sources.responses import Journal
from tests.support.cbr_server import CbrServer
from tests.support.lake import Workshop

NOW = datetime(2025, 4, 16, 9, tzinfo=UTC)  # a Wednesday
TODAY = date(2025, 4, 16)
START = date(2025, 3, 1)
SESSIONS = calendars.sessions("CBR", START - timedelta(days=30), TODAY)
LATE = SESSIONS[-8]  # within the newest sessions
METAL, FX = "metal_prices", "fx_rates"
IDS = {"USD": "R01235", "VND": "R01150", "IRR": "R01300"}


def instrument(symbol: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "instrument_id": f"CBR:{symbol}",
        "symbol": symbol,
        "name": symbol,
        "asset_class": "metal" if code.isdigit() else "fx",
        "calendar": "CBR",
        "currency": "RUB",
        "first_session": START,
        "symbols": {"cbr": code},
    } | more


GOLD = instrument("XAU", "1")
ALL = [GOLD, instrument("XAG", "2"), *(instrument(s, code) for s, code in IDS.items())]


class Setup:
    """A source of some instruments at a server, and what it says."""

    def __init__(self, server: CbrServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.waited: list[float] = []
        self.now = NOW
        server.now = lambda: self.now

    def source(self, entries: list[dict[str, Any]] = ALL, **more: Any) -> CbrSource:
        path = self.folder / "universe.yaml"
        path.write_text(yaml.safe_dump({"instruments": entries}))
        gate = Gate("the bank", per_minute=6000, sleep=self.waited.append)
        client = CbrClient(
            self.server.url,
            gate,
            journal=more.get("journal"),
            timeout=(2, 0.3),
            now=lambda: self.now,
        )
        more = {"refetch_sessions": 10, "now": lambda: self.now} | more
        return CbrSource(universe.for_source(path, "cbr"), client, **more)

    def tables(
        self,
        entries: list[dict[str, Any]] = ALL,
        first: date = START,
        last: date = TODAY,
        **more: Any,
    ) -> dict[str, pl.DataFrame]:
        return self.source(entries, **more).extract(first, last, self.now).tables

    def reasons(self, *args: Any, **more: Any) -> list[tuple[Any, ...]]:
        coverage = self.tables(*args, **more)["coverage"].sort("session", "instrument_id")
        columns = ("instrument_id", "session", "reason", "field", "value")
        return coverage.select(columns).rows()


class Loads(Workshop):
    """Loads the bank into a lake, as of a moment."""

    def __init__(self, home: Path, bank: Setup) -> None:
        super().__init__(home)
        self.bank = bank
        self.journal = Journal(home / "responses")

    def run(self, at: datetime = NOW, first: date = START, **more: Any) -> Any:
        self.bank.now = at
        known = partial(self._known)
        source = self.bank.source(known=known, journal=self.journal, **more)
        last = source.span()[1]
        self.bank.server.requests.clear()
        report = self.load(source=source, at=at, first=first, last=last)
        source.loaded()
        return report

    def _known(self, dataset: str, first: date, last: date) -> pl.DataFrame:
        return self.lake.as_of(dataset, first=first, last=last)

    def rows(self, dataset: str) -> list[tuple[Any, ...]]:
        return self.lake.as_of(dataset).drop("known_at").rows()


def hours(n: float) -> datetime:
    return NOW + timedelta(hours=n)
