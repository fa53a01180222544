"""The warehouse at the size of the US market: load, build, one more session, readers.

`BENCH_INSTRUMENTS` and `BENCH_YEARS` make the market smaller for a quick look; the limits are those
of the full size. Every reference is measured in the same run on the same machine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psutil

from stock_platform.lake import ingest
from stock_platform.lake.lake import Lake
from stock_platform.ml.ledger import create_tables
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import dbt, reference
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running, status
from tests.bench import page_loads
from tests.bench.slices import SLICES
from tests.support.platform import free_port

INSTRUMENTS = int(os.environ.get("BENCH_INSTRUMENTS", "3300"))
YEARS = int(os.environ.get("BENCH_YEARS", "24"))
SHORT_YEARS = max(YEARS // 10, 1)
"""The same instruments over a tenth of the time: what a session costs must not know the past."""
STAGED = ("stg_equity_prices", "stg_corporate_actions", "stg_coverage")
MARTS = "path:models/intermediate path:models/marts"
HELD_BACK = timedelta(days=12)
"""The market's last days, loaded one at a time after the build."""
READERS = 8
READING = 240.0
Result = dict[str, dict[str, Any]]


def run() -> Result:
    """All figures; one home with the long market, one with the short."""
    work = Path(tempfile.mkdtemp(prefix="bench-warehouse-"))
    try:
        long = Market(work / "long", YEARS)
        short = Market(work / "short", SHORT_YEARS)
        with ensure_running(long.settings):
            long.prepare()
            found = {
                "warehouse load to staging": _load(long),
                **_build(long),
            }
            increments = [long.increment() for _ in range(3)]
        with ensure_running(short.settings):
            short.prepare()
            short.dbt("path:models/staging", MARTS)
            shorter = [short.increment() for _ in range(3)]
        one_more, one_more_short = statistics.median(increments), statistics.median(shorter)
        size = f"{long.rows / 1e6:.1f} M bars"
        found["warehouse increment, long against short history"] = {
            "ours": one_more,
            "reference": one_more_short,
            "limit": 1.3,
            "unit": f"s for one more session after {size}, against {short.rows / 1e6:.1f} M",
        }
        found["warehouse increment against full build"] = {
            "ours": one_more,
            "reference": found["warehouse build"]["ours"],
            "limit": 0.1,
            "unit": f"s, {size}",
        }
        with ensure_running(long.settings):
            found.update(page_loads.measure(long.settings, long.rows, {}))
            found.update(_queries(long))
        found["warehouse build of the packaged sample"] = _sample(work / "sample")
        return found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sample(home: Path) -> dict[str, Any]:
    """`dbt build` of the packaged sample with all its tests, dbt's own start included."""
    settings = Settings(_env_file=None, home=home, source="sample", warehouse_port=free_port())  # type: ignore[call-arg]
    source, lake = get_source(settings), Lake.open(settings)
    ingest.load(source, lake, *source.span(), settings=settings)
    with ensure_running(settings):
        client = connect(settings)
        create_tables(client)
        reference.sync(client, lake, source)
        client.close()
        start = time.perf_counter()
        done = dbt.run(settings, "build")
        taken = time.perf_counter() - start
    assert done.returncode == 0, done.stdout[-4000:]
    return {"ours": taken, "reference": 25.0, "limit": 1.0, "unit": "s for all models and tests"}


@dataclass
class Market:
    """A simulated market in a home of its own, its last days held back."""

    home: Path
    years: int
    rows: int = 0
    settings: Settings = field(init=False)
    loaded: date = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            home=self.home,
            source="simulated",
            simulated_instruments=INSTRUMENTS,
            simulated_start=f"{2026 - self.years}-01-01",
            simulated_years=self.years,
            warehouse_port=free_port(),
        )

    def prepare(self) -> None:
        """Into the lake with it, and the reference tables into the warehouse."""
        source = get_source(self.settings)
        first, last = source.span()
        self.loaded = last - HELD_BACK
        ingest.load(source, Lake.open(self.settings), first, self.loaded, settings=self.settings)
        self.sync()
        dbt.run(self.settings, "parse")  # done once per change of the code, not per load

    def sync(self) -> None:
        """The reference tables as the lake is now."""
        client = connect(self.settings)
        create_tables(client)
        reference.sync(client, Lake.open(self.settings), get_source(self.settings))
        self.rows = int(
            client.query(
                "SELECT sum(rows) FROM market.lake_objects WHERE dataset = 'equity_prices'"
            ).result_rows[0][0]
        )
        client.close()

    def increment(self) -> float:
        """Seconds from a new session in the lake to marts that show it."""
        source, lake = get_source(self.settings), Lake.open(self.settings)
        while True:
            self.loaded += timedelta(days=1)
            if ingest.load(
                source, lake, self.loaded, self.loaded, settings=self.settings
            ).rows_written:
                break
        start = time.perf_counter()
        self.sync()
        self.dbt("path:models/staging", MARTS)
        return time.perf_counter() - start

    def dbt(self, *selected: str) -> float:
        """Seconds that `dbt run` takes, its own start included."""
        start = time.perf_counter()
        done = dbt.run(self.settings, "run", "--select", *" ".join(selected).split())
        assert done.returncode == 0, done.stdout[-4000:]
        return time.perf_counter() - start

    def sorting_key(self, table: str) -> str:
        """What a table is sorted by."""
        client = connect(self.settings)
        sql = (
            f"SELECT sorting_key FROM system.tables WHERE database = 'market' AND name = '{table}'"
        )
        key = client.query(sql).result_rows[0][0]
        client.close()
        return f"({key})"

    def straight(self, sql: str) -> float:
        """Seconds a statement takes on the engine."""
        client = connect(self.settings)
        start = time.perf_counter()
        # In one piece, a SELECT needs more memory than a query of the platform may have.
        client.command(sql, settings={"max_memory_usage": 14 << 30})
        client.close()
        return time.perf_counter() - start


def _load(market: Market) -> dict[str, Any]:
    """dbt's checked, atomic load of every object against INSERT ... SELECT of the same files."""
    ours = market.dbt("path:models/staging")
    bare = 0.0
    for table in STAGED:
        market.straight(
            f"CREATE TABLE bare_{table} ENGINE = MergeTree PARTITION BY toYear(session)"
            f" ORDER BY {market.sorting_key(table)} EMPTY AS SELECT * FROM {table}"
        )
        files = f"{market.settings.lake_root}/raw/*/{table.removeprefix('stg_')}/*/*/*/*.parquet"
        bare += market.straight(
            f"INSERT INTO bare_{table} SELECT *, _path FROM file('{files}', 'Parquet')"
        )
        market.straight(f"DROP TABLE bare_{table}")
    return {"ours": ours, "reference": bare, "limit": 2.0, "unit": f"s, {market.rows:,} bars"}


def _build(market: Market) -> Result:
    """Every mart, against the same SELECTs into tables without dbt; and the peak of memory."""
    with Memory(market.settings) as memory:
        ours = market.dbt(MARTS)
    bare = sum(market.straight(sql) for sql in _selects(market))
    market.straight("DROP DATABASE bare")
    return {
        "warehouse build": {
            "ours": ours,
            "reference": bare,
            "limit": 1.5,
            "unit": f"s for all marts of {market.rows:,} bars",
        },
        "warehouse build memory": {
            "ours": memory.peak / 2**30,
            "reference": 6.0,
            "limit": 1.0,
            "unit": "GiB, peak of the warehouse's process",
        },
    }


def _selects(market: Market) -> list[str]:
    """The SELECT of every model as dbt compiled it, all its pieces as one, into a table."""
    compiled = sorted((market.settings.home / "dbt").rglob("compiled/**/models/**/*.sql"))
    assert compiled, "dbt left no compiled models"
    client = connect(market.settings)
    client.command("CREATE DATABASE bare")
    statements = []
    for path in compiled:
        name, sql = path.stem, path.read_text()
        found = client.query(
            "SELECT engine, sorting_key FROM system.tables WHERE database = 'market'"
            f" AND name = '{name}'"
        ).result_rows
        if name.startswith("stg_") or not found or found[0][0] == "View":
            continue
        client.command(f"CREATE TABLE bare.{name}__nothing AS market.{name}")
        for token, value in (
            ("{since:Date}", "toDate('1970-01-01')"),
            ("{until:Date}", "toDate('2149-06-06')"),
            ("{earlier:Identifier}", f"bare.{name}__nothing"),
        ):
            sql = sql.replace(token, value)
        statements.append(
            f"CREATE TABLE bare.{name} ENGINE = MergeTree ORDER BY ({found[0][1]}) AS {sql}"
        )
    client.close()
    return statements


def _queries(market: Market) -> Result:
    """Each dashboard slice asked by eight readers at once, without a pause, while everything is
    built anew; after READING seconds they stop, for beside them a build gets little of two cores.
    """
    client = connect(market.settings)
    symbols = [
        row[0]
        for row in client.query(
            "SELECT symbol FROM market.dim_instrument ORDER BY symbol LIMIT 50"
        ).result_rows
    ]
    client.close()
    times: dict[str, list[float]] = {name: [] for name in SLICES}
    stop = threading.Event()
    problems: list[str] = []

    def read(number: int) -> None:
        own = connect(market.settings)
        turn = number
        try:
            while not stop.is_set():
                name, sql = list(SLICES.items())[turn % len(SLICES)]
                start = time.perf_counter()
                own.query(sql.format(symbol=symbols[turn % len(symbols)]))
                times[name].append(time.perf_counter() - start)
                turn += 1
        except Exception as error:  # noqa: BLE001 - told by the main thread
            problems.append(f"{name}: {error}")
        finally:
            own.close()

    readers = [threading.Thread(target=read, args=(number,)) for number in range(READERS)]
    enough = threading.Timer(READING, stop.set)
    enough.start()
    for reader in readers:
        reader.start()
    try:
        done = dbt.run(market.settings, "run", "--full-refresh", "--select", *MARTS.split())
    finally:
        enough.cancel()
        stop.set()
        for reader in readers:
            reader.join()
    assert done.returncode == 0, done.stdout[-4000:]
    assert not problems, problems
    found = {}
    for name, taken in times.items():
        assert len(taken) > 20, f"{name}: asked {len(taken)} times only"
        found[f"query {name}"] = {
            "ours": 1000 * statistics.quantiles(taken, n=20)[-1],
            "reference": 200.0,
            "limit": 1.0,
            "unit": f"ms p95 of {len(taken)}, {READERS} readers during a build",
        }
    return found


class Memory:
    """The largest resident size of the warehouse's process while the block runs, in bytes."""

    def __init__(self, settings: Settings) -> None:
        self.peak = 0
        running = status(settings)
        assert running is not None
        self._process = psutil.Process(running.pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
