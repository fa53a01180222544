"""The rules all sources share, the dlt wrapping among them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_platform.sources import base, files, sample, simulated
from stock_platform.sources.simulated import SimulatedSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "availability"),
    [
        (timedelta(days=-1), "observed"),  # provisional
        (timedelta(0), "observed"),
        (timedelta(days=3), "observed"),
        (timedelta(days=3, microseconds=1), "assumed"),
        (timedelta(days=9000), "assumed"),
    ],
)
def test_a_row_fetched_late_was_available_when_it_was_due(after, availability: str) -> None:
    due = datetime(2001, 2, 3, 21, tzinfo=UTC)
    frame = pl.DataFrame({"due": [due]}).with_columns(pl.col("due").cast(pl.Datetime("us", "UTC")))
    row = frame.select(*base.availability(pl.col("due"), due + after)).to_dicts()[0]
    expected = due if availability == "assumed" else due + after
    assert row == {"available_at": expected, "availability": availability}


def test_ranges_cover_every_day_once() -> None:
    first, last = date(2024, 2, 27), date(2024, 3, 4)
    ranges = list(base.split_range(first, last, 3))
    assert ranges == [
        (date(2024, 2, 27), date(2024, 2, 29)),
        (date(2024, 3, 1), date(2024, 3, 3)),
        (date(2024, 3, 4), date(2024, 3, 4)),
    ]
    assert list(base.split_range(last, first, 3)) == []


def collected(source) -> dict[str, pl.DataFrame]:
    """What a dlt source yields, by resource, without a pipeline."""
    tables = {}
    for name, resource in source.resources.items():
        parts = [pl.DataFrame(pl.from_arrow(t)) for t in resource]
        tables[name] = pl.concat(parts) if parts else None
    return tables


def test_dlt_gets_exactly_the_extract_one_resource_per_dataset() -> None:
    market = SimulatedSource(count=5, start=date(2010, 1, 1), years=5, seed=1)
    span = market.span()
    tables = collected(market.dlt_source(*span, NOW))
    whole = market.extract(*span, NOW).tables
    assert set(tables) == set(base.DATASETS)
    for name, table in tables.items():
        assert table.sort(pl.all()).equals(whole[name].sort(pl.all())), name


def test_each_module_runs_alone(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STOCK_PLATFORM_HOME", str(tmp_path))
    monkeypatch.setenv("STOCK_PLATFORM_SIMULATED_YEARS", "1")
    (tmp_path / "bars.csv").write_text(
        "symbol,date,open,high,low,close,volume\nA,2024-01-02,1,1,1,1,1\n"
    )
    columns = ", ".join(
        f"{c}: {c}" for c in ("symbol", "date", "open", "high", "low", "close", "volume")
    )
    (tmp_path / "files.yaml").write_text(
        f"files: bars.csv\ncolumns: {{{columns}}}\nbasis: traded\ncurrency: USD\ncalendar: XNYS\n"
    )
    monkeypatch.setenv("STOCK_PLATFORM_FILES_PATH", str(tmp_path))
    span = date(2000, 1, 1), date(2025, 1, 1)
    rows = {
        module.__name__.rpartition(".")[2]: collected(module.dlt_source(*span, NOW))
        for module in (sample, files, simulated)
    }
    heights = {name: tables["equity_prices"].height for name, tables in rows.items()}
    assert heights["sample"] == 12_154
    assert heights["files"] == 1
    assert heights["simulated"] > 1500


def test_a_dlt_pipeline_takes_it_under_a_frozen_contract(tmp_path) -> None:
    import dlt

    market = SimulatedSource(count=3, start=date(2010, 1, 1), years=1, seed=1)
    received: dict[str, int] = {}

    @dlt.destination(batch_size=0, loader_file_format="parquet", skip_dlt_columns_and_tables=True)
    def sink(path: str, table: dict) -> None:
        received[table["name"]] = received.get(table["name"], 0) + pl.read_parquet(path).height

    pipeline = dlt.pipeline("sources_test", destination=sink, pipelines_dir=str(tmp_path))
    contract = {"tables": "evolve", "columns": "freeze", "data_type": "freeze"}
    for _ in range(2):
        received.clear()
        source = market.dlt_source(*market.span(), NOW)
        pipeline.run(source, schema_contract=contract)
        tables = market.extract(*market.span(), NOW).tables
        assert received == {name: t.height for name, t in tables.items() if t.height}


PROGRAM = """
import hashlib, sys
from datetime import UTC, date, datetime
from stock_platform.sources.files import FilesSource
from stock_platform.sources.sample import SampleSource
from stock_platform.sources.simulated import SimulatedSource
from stock_platform.settings import Settings

now = datetime(2026, 1, 1, tzinfo=UTC)
digest = hashlib.sha256()
for source in (
    SampleSource(),
    SimulatedSource(count=4, start=date(2010, 1, 1), years=2, seed=1),
    FilesSource.from_settings(Settings(files_path=sys.argv[1])),
):
    for moment in (now, datetime(2011, 3, 4, 21, 30, tzinfo=UTC)):
        tables = source.extract(*source.span(), moment).tables
        for name in sorted(tables):
            digest.update(tables[name].write_csv().encode())
print(digest.hexdigest())
"""


def test_the_machines_time_zone_changes_nothing(tmp_path: Path) -> None:
    lines = [
        "symbol,date,open,high,low,close,volume",
        "A,2011-03-03,1,1,1,1,1",
        "A,2011-03-04,1,1,1,1,1",
    ]
    (tmp_path / "bars.csv").write_text("\n".join([*lines, "A,soon,1,1,1,1,1"]))
    columns = ", ".join(f"{c}: {c}" for c in lines[0].split(","))
    (tmp_path / "files.yaml").write_text(
        f"files: bars.csv\ncolumns: {{{columns}}}\nbasis: traded\ncurrency: USD\ncalendar: XNYS\n"
    )
    # an hour before midnight UTC: another day in Auckland, the same in Los Angeles
    os.utime(tmp_path / "bars.csv", (1_300_057_200, 1_300_057_200))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            env={**os.environ, "TZ": zone},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for zone in ("Pacific/Auckland", "America/Los_Angeles")
    ]
    outputs = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert len({printed for printed, _ in outputs}) == 1
