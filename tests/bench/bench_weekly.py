"""The weekly routine of 300 instruments with 24 years of history: train, select, forecast.

Held against a fixed limit of 60 s on two cores, reading of the features and bars included.
"""

from __future__ import annotations

import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from stock_platform.lake import ingest
from stock_platform.lake.lake import Lake
from stock_platform.ml.forecasting import forecast_weeks
from stock_platform.ml.ledger import create_tables
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.registry import Registry
from stock_platform.ml.training import train_weeks
from stock_platform.ml.walk_forward import refit_week
from stock_platform.ml.weeks import monday_of
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import dbt, reference
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support.platform import free_port

SECONDS = 60.0
INSTRUMENTS = int(os.environ.get("BENCH_INSTRUMENTS", "300"))
YEARS = int(os.environ.get("BENCH_YEARS", "24"))


def run() -> dict[str, dict[str, Any]]:
    """Seconds of a week in which everything is refitted, the costliest there is."""
    with tempfile.TemporaryDirectory(prefix="bench-weekly-") as folder:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            home=Path(folder),
            source="simulated",
            simulated_instruments=INSTRUMENTS,
            simulated_start="2000-01-03",
            simulated_years=YEARS,
            warehouse_port=free_port(),
        )
        with ensure_running(settings):
            seconds, rows = _week(settings)
    return {
        "weekly training, selection and forecast": {
            "ours": seconds,
            "reference": SECONDS,
            "limit": 1.0,
            "unit": f"s for {INSTRUMENTS} instruments and {YEARS} years, {rows} forecasts",
        }
    }


def _week(settings: Settings) -> tuple[float, int]:
    source, lake, client = get_source(settings), Lake.open(settings), connect(settings)
    first, last = source.span()
    ingest.load(source, lake, first, last, settings=settings)
    create_tables(client)
    reference.sync(client, lake, source)
    built = dbt.run(
        settings, "run", "--select", "path:models/staging", "+int_bars_as_of", "+int_features_as_of"
    )
    assert built.returncode == 0, built.stdout[-4000:]
    week = refit_week(monday_of(last) - timedelta(weeks=1))
    begun = time.perf_counter()
    reader = PanelReader.from_warehouse(client)
    report = train_weeks(client, Registry(settings), reader, source.name, [week])
    # As in Dagster, where the forecast is an asset of its own and reads for itself.
    reader = PanelReader.from_warehouse(client)
    rows = forecast_weeks(client, Registry(settings), reader, source.name, [week]).rows_added
    seconds = time.perf_counter() - begun
    client.close()
    assert report.decisions.height == 1
    # Some of the simulated market are listed late or have ended.
    assert rows > 6 * INSTRUMENTS, f"five horizons of champion and baseline for most: {rows}"
    return seconds, rows
