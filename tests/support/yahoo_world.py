"""Yahoo's server, the source and a lake, joined for end-to-end tests at simulated moments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from stock_platform import calendars
from stock_platform.lake import Lake, ingest
from stock_platform.lake.ingest import LoadReport
from stock_platform.lake.schema import WRITTEN_IN_ORDER
from stock_platform.lake.sink import Sink
from stock_platform.sources.fetching import Gate
from stock_platform.sources.responses import Journal
from stock_platform.sources.yahoo import Record, YahooSource
from stock_platform.sources.yahoo_client import YahooClient
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.universe import Instrument, Validity
from tests.support.lake import settings_in
from tests.support.yahoo_market import Listing, bars_of
from tests.support.yahoo_server import YahooServer

FIRST, LAST = date(2020, 7, 1), date(2020, 12, 31)


def at(day: date | str, clock: str = "23:00", zone: str = "UTC") -> datetime:
    """A moment of a day, by default an hour before midnight UTC: New York has closed."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def sessions(calendar: str = "XNYS", first: date = FIRST, last: date = LAST) -> list[date]:
    return calendars.sessions(calendar, first, last)


def listing(
    symbol: str = "AAA",
    *,
    calendar: str = "XNYS",
    price: Callable[[int], float] = lambda n: 100 + n % 7,
    days: list[date] | None = None,
    volume: float = 1000.0,
    **more: Any,
) -> Listing:
    """A listing whose n-th session traded at `price(n)`."""
    days = sessions(calendar) if days is None else days
    bars = bars_of([(day, float(price(n)), volume) for n, day in enumerate(days)])
    return Listing(symbol, bars, **more)


def instrument(symbol: str = "AAA", **more: Any) -> Instrument:
    fields: dict[str, Any] = {
        "instrument_id": f"X:{symbol}",
        "symbol": symbol,
        "name": symbol,
        "asset_class": "equity",
        "calendar": "XNYS",
        "currency": "USD",
        "sector": "",
        "first_session": FIRST,
        "symbols": {"yahoo": (Validity(symbol),)},
    }
    return Instrument(**fields | more)


class World:
    """One universe, one provider, one lake. Use it in a `with`."""

    def __init__(
        self, home: Path, *listings: Listing, instruments: list[Instrument] | None = None
    ) -> None:
        self.server = YahooServer(listings)
        self.instruments = instruments or [instrument(one.symbol) for one in listings]
        self.home = home
        self.refetch = 10
        self.trip_after = 5
        self.universe = "universe"
        """The text that is recorded with each load."""

    def __enter__(self) -> World:
        self.server.__enter__()
        self.settings = settings_in(
            self.home, yahoo_url=self.server.url, yahoo_requests_per_minute=600_000
        )
        self.lake = Lake.open(self.settings)
        self.journal = Journal(self.home / "responses" / "yahoo")
        return self

    def __exit__(self, *details: object) -> None:
        self.server.__exit__(*details)

    def source(self) -> YahooSource:
        def connect(recorded: bool) -> YahooClient:
            gate = Gate(
                "Yahoo", per_minute=600_000, trip_after=self.trip_after, sleep=lambda _: None
            )
            journal = self.journal if recorded else None
            return YahooClient(self.settings, journal=journal, gate=gate, timeout=4)

        return YahooSource(
            sorted(self.instruments, key=lambda i: i.instrument_id),
            connect,
            known=LakeView("yahoo", lambda: self.lake),
            refetch=self.refetch,
            record=Record(self.journal, lambda: self.lake, self.universe),
        )

    def load(
        self, moment: datetime, first: date | None = None, last: date | None = None
    ) -> LoadReport:
        """Load at a moment; without a range, the day of the moment alone."""
        self.server.now = moment
        self.server.changed()
        self.last_source = self.source()
        report = ingest.load(
            self.last_source,
            self.lake,
            first or moment.date(),
            last or moment.date(),
            settings=self.settings,
            known_at=moment,
        )
        self.last_source.loaded()
        return report

    def load_without_dlt(self, moment: datetime, first: date) -> int:
        """The same for a test of many loads: half a second of each is dlt's. Rows written."""
        self.server.now = moment
        self.server.changed()
        sink = Sink(self.lake, "yahoo", moment)
        sink.adopt(first, moment.date())
        source = self.source()
        parts = list(source.chunks(first, moment.date(), moment))
        for name in WRITTEN_IN_ORDER if parts else ():
            if name not in parts[0].tables:
                continue
            table = pl.concat(part.tables[name] for part in parts)
            if table.height:
                file = self.home / f"{name}.parquet"
                table.write_parquet(file)
                sink.receive(name, str(file))
        source.loaded()
        return sum(counts.written for counts in sink.counts.values())

    def requests(self) -> int:
        """Histories asked for so far."""
        return self.server.counts()["chart"]

    def bars(self, symbol: str = "AAA", moment: datetime | None = None) -> pl.DataFrame:
        rows = self.lake.as_of("equity_prices", moment)
        return rows.filter(pl.col("instrument_id") == f"X:{symbol}")

    def closes(self, symbol: str = "AAA", moment: datetime | None = None) -> dict[date, float]:
        return dict(self.bars(symbol, moment).select("session", "close").iter_rows())

    def coverage(self, symbol: str = "AAA") -> pl.DataFrame:
        rows = self.lake.as_of("coverage")
        return rows.filter(pl.col("instrument_id") == f"X:{symbol}")

    def reason(self, session: date | str, symbol: str = "AAA") -> dict[str, Any] | None:
        """The reason told of a session's bar."""
        day = date.fromisoformat(str(session))
        rows = self.coverage(symbol).filter(session=day, row_ref="")
        return rows.row(0, named=True) if rows.height else None

    def actions(self, symbol: str = "AAA") -> list[tuple[date, str, float]]:
        rows = self.lake.as_of("corporate_actions")
        rows = rows.filter(pl.col("instrument_id") == f"X:{symbol}")
        return [
            (day, action, round(value, 6))
            for day, action, value in rows.select("session", "action", "value").iter_rows()
        ]

    def objects(self) -> dict[str, bytes]:
        """Every raw object and its bytes."""
        root = Path(self.lake.root)
        return {
            str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("raw/**/*.parquet"))
        }


def day(text: str) -> date:
    return date.fromisoformat(text)


def next_day(one: date) -> date:
    return one + timedelta(days=1)
