"""docs/lake_analysis.py on a small simulated lake: it runs, and what it prints is right."""

import runpy

import pytest

from stock_platform.lake import Lake, ingest
from stock_platform.settings import PROJECT_ROOT
from stock_platform.sources import get_source
from tests.support.lake import settings_in


def test_the_example_runs_without_a_warehouse(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys):
    settings = settings_in(tmp_path, source="simulated", simulated_instruments=2, simulated_years=2)
    lake, source = Lake.open(settings), get_source(settings)
    ingest.load(source, lake, *source.span(), settings=settings)
    monkeypatch.setattr("stock_platform.settings.load_settings", lambda: settings)
    runpy.run_path(str(PROJECT_ROOT / "docs" / "lake_analysis.py"), run_name="__main__")
    printed = capsys.readouterr().out
    bars = lake.read("equity_prices")
    assert f"equity_prices     ┆ {bars.height}" in printed
    for symbol in bars["symbol"].unique():
        assert printed.count(f"│ {symbol} ") >= 2
    assert not (tmp_path / "warehouse").exists()
