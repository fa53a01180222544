"""A tiny source that says what a test tells it to, and rows to tell it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from stock_platform.lake import Lake, ingest
from stock_platform.lake.ingest import LoadReport
from stock_platform.lake.schema import DATASETS, FINAL
from stock_platform.settings import Settings
from stock_platform.universe import Instrument

MONDAY = date(2024, 3, 4)
T0 = datetime(2024, 6, 1, 12, tzinfo=UTC)


def hour(n: int) -> datetime:
    """`n` hours after T0."""
    return T0 + timedelta(hours=n)


def settings_in(home: Path, **more: Any) -> Settings:
    return Settings(home=home, _env_file=None, **more)  # type: ignore[call-arg]


def bar(
    symbol: str = "AAA",
    session: date = MONDAY,
    close: float = 10.0,
    *,
    finality: str = FINAL,
    **more: Any,
) -> dict[str, Any]:
    """One row of equity_prices; the source fills in known_at and source."""
    return {
        "instrument_id": f"XNAS:{symbol}",
        "symbol": symbol,
        "session": session,
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "volume": 1000.0,
        "currency": "USD",
        "finality": finality,
        "available_at": datetime.combine(session, datetime.min.time(), UTC) + timedelta(hours=22),
        "availability": "assumed",
        "payload_digest": "d1",
        **more,
    }


def rejected(row_ref: str, session: date = MONDAY, value: str = "-1") -> dict[str, Any]:
    """One quarantined row of coverage."""
    own = ("instrument_id", "symbol", "session", "currency", "finality", "payload_digest")
    return {name: bar(session=session)[name] for name in own} | {
        "reason": "rejected",
        "row_ref": row_ref,
        "field": "close",
        "value": value,
        "detail": "negative price",
        "available_at": T0,
        "availability": "observed",
    }


class SaidSource:
    """Delivers the rows it was made with."""

    publication_lag = timedelta(hours=1)
    live = False

    def __init__(self, *, name: str = "said", **tables: list[dict[str, Any]]) -> None:
        self.name = name
        self.tables = tables
        self.loads = 0

    def span(self) -> tuple[date, date]:
        return MONDAY, MONDAY + timedelta(days=365)

    def instruments(self) -> list[Instrument]:
        return []

    def fingerprint(self) -> str:
        return ""

    def check(self) -> str:
        return ""

    def notes(self) -> list[str]:
        return []

    def loaded(self) -> None:
        self.loads += 1

    def frames(self, known_at: datetime) -> Mapping[str, pl.DataFrame]:
        stamp = {"source": self.name, "known_at": known_at}
        return {
            name: pl.DataFrame(
                [
                    {**stamp, **row, "available_at": min(row["available_at"], known_at)}
                    for row in rows
                ],
                schema=DATASETS[name].polars_schema,
            )
            for name, rows in self.tables.items()
        }

    def extract(self, first: date, last: date, known_at: datetime) -> Any:
        raise NotImplementedError("the lake reads sources through dlt")

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Any]:
        raise NotImplementedError("the lake reads sources through dlt")

    def arrow(self, known_at: datetime) -> Iterator[tuple[str, Any]]:
        """What is handed to dlt; tests of the contract bend it."""
        for name, frame in self.frames(known_at).items():
            yield name, frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    def dlt_source(self, first: date, last: date, known_at: datetime) -> Any:
        import dlt

        @dlt.source(name=self.name, max_table_nesting=0)
        def build() -> Any:
            for name, table in self.arrow(known_at):
                yield dlt.resource([table], name=name, write_disposition="append")

        return build()


class Workshop:
    """A lake in a temporary home, and the shortest way to load into it."""

    def __init__(self, home: Path, **more: Any) -> None:
        self.settings = settings_in(home, **more)
        self.lake = Lake.open(self.settings)

    def load(
        self,
        *bars: dict[str, Any],
        at: datetime | None = T0,
        first: date = MONDAY,
        last: date = MONDAY + timedelta(days=6),
        source: Any = None,
        **tables: list[dict[str, Any]],
    ) -> LoadReport:
        if bars:
            tables["equity_prices"] = list(bars)
        return ingest.load(
            source or SaidSource(**tables),
            self.lake,
            first,
            last,
            settings=self.settings,
            known_at=at,
        )

    def files(self) -> dict[str, bytes]:
        """Every raw object and its bytes."""
        root = Path(self.lake.root)
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("raw/**/*.parquet"))
        }

    def closes(self, at: datetime | None = None, clock: Any = "known_at") -> dict[str, float]:
        frame = self.lake.as_of("equity_prices", at, clock)
        return dict(frame.select("symbol", "close").iter_rows())
