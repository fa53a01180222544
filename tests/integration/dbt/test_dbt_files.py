"""The marts accept a folder whose newest rows are all bad."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stock_platform.lake import ingest
from stock_platform.lake.lake import Lake
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import reference
from tests.support.dbt_project import Project

BARS = "".join(f"AAA,2024-01-{day:02},10,11,9,10,100\n" for day in (2, 3, 4, 5, 8, 9, 10, 11))
BAD = (
    "AAA,2024-01-12,10,11,9,-10,100\nBBB,2024-01-16,10,8,9,10,100\nAAA,soon,10,11,9,10,100\n"
    "AAA,2024-01-19,10,11,9,NaN,1\n"
)
MAPPING = """
files: bars.csv
columns:
  {symbol: symbol, date: date, open: open, high: high, low: low, close: close, volume: volume}
basis: traded
currency: USD
calendar: XNYS
instruments: [{symbol: AAA}, {symbol: BBB}]
"""


@pytest.mark.parametrize(
    "more",
    ["", "AAA,2024-01-23,10,11,9,10,100\nBBB,2024-01-23,10,11,9,10,100\n"],
    ids=["end", "inner"],
)
def test_sessions_of_bad_rows_are_accounted_for(
    project: Project, tmp_path: Path, more: str
) -> None:
    (tmp_path / "files.yaml").write_text(MAPPING)
    (tmp_path / "bars.csv").write_text(f"symbol,date,open,high,low,close,volume\n{BARS}{BAD}{more}")
    changed = datetime(2024, 1, 25, tzinfo=UTC).timestamp()  # a session soon after the last bar
    os.utime(tmp_path / "bars.csv", (changed, changed))
    settings = Settings(home=tmp_path / "home", source="files", files_path=tmp_path)
    lake, source = Lake.open(settings), get_source(settings)
    ingest.load(source, lake, *source.span(), settings=settings)
    reference.sync(project.client, lake, source)
    project.variables |= {"DBT_SOURCE": "files", "DBT_LAKE_ROOT": settings.lake_root}
    assert project.dbt("build", "--select", "+coverage_accounts_for_every_session") == (True, {})
