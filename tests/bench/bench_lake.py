"""How fast the lake takes data: a whole history at once, and one day after many.

`run()` returns the figures of `make bench`; the reference is always measured in the same run.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_platform.lake import Lake, ingest, paths
from stock_platform.lake.catalog import Catalog, NewObject
from stock_platform.lake.schema import EQUITY_PRICES
from stock_platform.settings import Settings

FIRST = date(2000, 1, 3)
SYMBOLS = 100
Result = dict[str, dict[str, Any]]


def bars(first: date, sessions: int, symbols: int, known_at: datetime) -> pl.DataFrame:
    """Random bars of consecutive days, all known at `known_at`."""
    rows = sessions * symbols
    random = np.random.default_rng(sessions)
    prices = {
        name: random.uniform(10, 400, rows) for name in ("open", "high", "low", "close", "volume")
    }
    names = [f"S{n:03d}" for n in range(symbols)]
    days = np.repeat(np.arange(np.datetime64(first), np.datetime64(first) + sessions), symbols)
    return (
        pl.DataFrame({"symbol": names * sessions, "session": days, **prices})
        .with_columns(
            instrument_id="XNAS:" + pl.col("symbol"),
            currency=pl.lit("USD"),
            source=pl.lit("bench"),
            finality=pl.lit("final"),
            known_at=pl.lit(known_at),
            available_at=pl.col("session").cast(pl.Datetime("us", "UTC")) + timedelta(hours=22),
            availability=pl.lit("assumed"),
            payload_digest=pl.lit("0" * 64),
        )
        .select(pl.col(name).cast(kind) for name, kind in EQUITY_PRICES.columns.items())
    )


class BenchSource:
    """Delivers random bars, a year of sessions at a time."""

    name = "bench"
    publication_lag = timedelta(0)

    def __init__(self, symbols: int) -> None:
        self.symbols = symbols

    def loaded(self) -> None:
        """Nothing was kept."""

    def dlt_source(self, first: date, last: date, known_at: datetime) -> Any:
        import dlt

        def tables() -> Iterator[Any]:
            start = first
            while start <= last:
                days = min(250, (last - start).days + 1)
                yield bars(start, days, self.symbols, known_at).to_arrow(
                    compat_level=pl.CompatLevel.oldest()
                )
                start += timedelta(days=days)

        @dlt.source(name=self.name, max_table_nesting=0)
        def build() -> Any:
            yield dlt.resource(tables, name="equity_prices", write_disposition="append")

        return build()


def _lake(home: Path) -> tuple[Settings, Lake]:
    settings = Settings(home=home, _env_file=None)  # type: ignore[call-arg]
    return settings, Lake.open(settings)


def _load(home: Path, first: date, sessions: int, symbols: int) -> float:
    settings, lake = _lake(home)
    last = first + timedelta(days=sessions - 1)
    start = time.perf_counter()
    report = ingest.load(BenchSource(symbols), lake, first, last, settings=settings)  # type: ignore[arg-type]
    elapsed = time.perf_counter() - start
    assert report.rows_written == sessions * symbols, report
    return elapsed


def _bare(root: Path, sessions: int, symbols: int) -> float:
    """The same objects from memory with polars alone."""
    frame = bars(FIRST, sessions, symbols, datetime(2026, 1, 1, tzinfo=UTC))
    start = time.perf_counter()
    for (day,), rows in frame.partition_by("session", as_dict=True).items():
        folder = root / "raw/bench/equity_prices" / f"{day:%Y/%m/%d}"
        folder.mkdir(parents=True)
        rows.write_parquet(folder / "data.parquet")
    return time.perf_counter() - start


def history(work: Path, sessions: int = 5000, repeat: int = 1) -> dict[str, Any]:
    """A whole history through dlt into the catalogued lake, against bare polars."""
    ours, reference = [], []
    for n in range(repeat):
        reference.append(_bare(work / f"bare{n}", sessions, SYMBOLS))
        ours.append(_load(work / f"ours{n}", FIRST, sessions, SYMBOLS))
    mine, bare = statistics.median(ours), statistics.median(reference)
    return {
        "ours": round(mine, 2),
        "reference": round(bare, 2),
        "ratio": round(mine / bare, 2),
        "limit": 2.0,
        "unit": f"s for {sessions} sessions x {SYMBOLS} symbols",
    }


def increment(work: Path, long: int = 5000, short: int = 250, repeat: int = 15) -> dict[str, Any]:
    """One more day after a long history, against one more after a short one."""
    times: dict[int, list[float]] = {long: [], short: []}
    for sessions in times:
        _load(work / str(sessions), FIRST, sessions, SYMBOLS)
    for n in range(repeat):
        for sessions, taken in times.items():
            day = FIRST + timedelta(days=sessions + n)
            taken.append(_load(work / str(sessions), day, 1, SYMBOLS))
    mine, reference = (statistics.median(times[sessions]) for sessions in (long, short))
    return {
        "ours": round(mine, 3),
        "reference": round(reference, 3),
        "ratio": round(mine / reference, 2),
        "limit": 1.2,
        "unit": f"s for one day after {long} sessions, reference after {short}",
    }


def commits(work: Path, count: int, young: int = 250, repeat: int = 320) -> dict[str, Any]:
    """One more of many separate daily commits to the catalog, against one more of a few.

    Only the catalog's part: the objects are not written, nobody reads them. A commit's time rises
    and falls as manifests fill up and are merged, so means over two such cycles are compared.
    """
    times: dict[int, list[float]] = {}
    catalogs = {}
    for made in (young, count):
        times[made], catalogs[made] = [], _lake(work / str(made))[1].catalog
        for n in range(made):
            _commit(catalogs[made], n)
    for n in range(repeat):
        for made, catalog in catalogs.items():
            times[made].append(_commit(catalog, made + n))
    reference, mine = (statistics.fmean(times[made]) for made in (young, count))
    return {
        "ours": round(mine, 4),
        "reference": round(reference, 4),
        "ratio": round(mine / reference, 2),
        "limit": 1.2,
        "unit": f"s for one commit to the catalog after {count}, reference after {young}",
    }


def _commit(catalog: Catalog, n: int) -> float:
    day = FIRST + timedelta(days=n)
    item = NewObject(paths.first_object("bench", "equity_prices", day), day, SYMBOLS, 9000)
    start = time.perf_counter()
    catalog.register(EQUITY_PRICES, [item])
    return time.perf_counter() - start


def run(separate_commits: int = 5000) -> Result:
    """The figures of the lake, by name; 5,000 separate commits take three minutes of it."""
    work = Path(tempfile.mkdtemp(prefix="bench-lake-"))
    try:
        _load(work / "warm-up", FIRST, 5, 5)
        return {
            "lake_ingest_history": history(work / "history"),
            "lake_increment_day": increment(work / "increment"),
            "lake_increment_commit": commits(work / "commits", separate_commits),
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    for name, figures in run().items():
        print(name, figures)
