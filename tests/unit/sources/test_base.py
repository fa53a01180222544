"""The rules all sources share, the dlt wrapping among them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_platform import calendars
from stock_platform.calendars import CalendarError
from stock_platform.lake import schema
from stock_platform.settings import Settings, load_settings
from stock_platform.sources import base, get_source
from stock_platform.sources.base import Extract
from stock_platform.sources.simulated import SimulatedSource
from stock_platform.universe import Instrument, Validity

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


def share(calendar: str, last_session: date | None = None) -> Instrument:
    return Instrument(
        instrument_id=f"{calendar}:A",
        symbol="A",
        name="A",
        asset_class="equity",
        calendar=calendar,
        currency="USD",
        sector="",
        first_session=date(2020, 1, 2),
        last_session=last_session,
    )


def test_only_instruments_of_a_calendar_that_ends_too_soon_are_refused(monkeypatch) -> None:
    """Some exchanges are known through the current year only: from December on, as here XSES."""
    bounds = calendars.bounds
    ending = {"XSES": (date(1990, 1, 1), date(2023, 12, 31))}
    monkeypatch.setattr(calendars, "bounds", lambda code: ending.get(code) or bounds(code))
    first, now = date(2023, 11, 1), date(2023, 12, 15)
    one, other = share("XNYS"), share("XSES")
    with pytest.raises(CalendarError, match=r"XSES .*through 2023-12-31.* newer exchange_cal"):
        base.expected([one, other], first, now)
    assert base.expected([one], first, now).height == 32
    # history, and what was delisted before, ask nothing of the calendar's end
    assert set(base.expected([one, other], first, date(2023, 12, 8))["calendar"]) == {
        "XNYS",
        "XSES",
    }
    gone = share("XSES", last_session=date(2023, 11, 30))
    assert base.expected([one, gone], first, now)["session"].max() == now


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
    assert set(tables) == set(schema.DATASETS)
    for name, table in tables.items():
        if name in base.DATASETS:
            assert table.sort(pl.all()).equals(whole[name].sort(pl.all())), name
        else:
            assert table is None, name


def test_dlt_gets_every_dataset_of_the_lake_that_a_source_delivers() -> None:
    class Bank(SimulatedSource):
        def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
            row = {"instrument_id": "CBR:USD", "quoted_currency": "USD", "rate": 77.1734}
            rates = schema.FX_RATES.empty().merge_sorted(
                pl.DataFrame([row]).select(
                    pl.col(n).cast(t) if n in row else pl.lit(None, t).alias(n)
                    for n, t in schema.FX_RATES.columns.items()
                ),
                key="instrument_id",
            )
            yield Extract({"fx_rates": rates})

    source = Bank(count=1, start=date(2010, 1, 1), years=1, seed=1)
    tables = collected(source.dlt_source(*source.span(), NOW))
    assert tables.pop("fx_rates")["rate"].to_list() == [77.1734]
    assert set(tables.values()) == {None}


def instrument(**fields: Any) -> Instrument:
    known = {"instrument_id": "XNAS:META", "symbol": "META", "name": "Meta"}
    usual = {"asset_class": "equity", "calendar": "XNYS", "currency": "USD", "sector": ""}
    return Instrument(**{**known, **usual, "first_session": date(2022, 6, 7), **fields})


def test_an_expected_session_has_the_symbol_valid_then() -> None:
    rows = (Validity("FB", None, date(2022, 6, 8)), Validity("META", date(2022, 6, 9)))
    meta = instrument(symbols={"yahoo": rows})
    other = instrument(instrument_id="XNYS:IBM", symbol="IBM", last_session=date(2022, 6, 7))
    found = base.expected([meta, other], date(2022, 6, 1), date(2022, 6, 10), "yahoo")
    assert found.sort("session", "instrument_id").select("symbol", "session").rows() == [
        ("FB", date(2022, 6, 7)),
        ("IBM", date(2022, 6, 7)),
        ("FB", date(2022, 6, 8)),
        ("META", date(2022, 6, 9)),
        ("META", date(2022, 6, 10)),
    ]
    shown = base.expected([meta], date(2022, 6, 1), date(2022, 6, 10))
    assert set(shown["symbol"]) == {"META"}
    assert found.columns == [
        *("instrument_id", "symbol", "currency", "calendar", "session", "open_at", "close_at")
    ]


def test_sessions_in_a_gap_of_symbols_are_expected() -> None:
    rows = (Validity("A", None, date(2022, 6, 8)), Validity("B", date(2022, 6, 13)))
    found = base.expected(
        [instrument(symbols={"yahoo": rows})], date(2022, 6, 8), date(2022, 6, 13), "yahoo"
    )
    assert found["symbol"].to_list() == ["A", "A", "A", "B"]


def test_an_instrument_that_ended_before_the_range_expects_nothing() -> None:
    gone = instrument(last_session=date(2022, 6, 8))
    assert base.expected([gone], date(2022, 6, 9), date(2022, 6, 10)).is_empty()


def test_the_sources_of_files_and_of_the_simulation_are_not_live() -> None:
    for source in (
        get_source(Settings(), "sample"),
        SimulatedSource(count=1, start=date(2010, 1, 1), years=1, seed=1),
    ):
        assert source.live is False
        source.loaded()


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
        name: collected(get_source(load_settings(), name).dlt_source(*span, NOW))
        for name in ("sample", "files", "simulated")
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
