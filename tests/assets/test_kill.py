"""`kill -9` of the run or the warehouse in every stage: the next run ends where a clean one does.

Both are killed once per stage in one home, which therefore gathers every kind of leftover.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support import state
from tests.support.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = {
    "STOCK_PLATFORM_SOURCE": "simulated",
    "STOCK_PLATFORM_SIMULATED_INSTRUMENTS": "3",
    "STOCK_PLATFORM_SIMULATED_YEARS": "5",
    "STOCK_PLATFORM_BACKTEST_WEEKS": "30",
}
STAGES = ("ingest", "build_marts", "forecast_week", "score_forecasts")


def test_killed_in_every_stage_ends_as_an_undisturbed_run(tmp_path: Path) -> None:
    calm = Platform(tmp_path / "calm", SMALL)
    rough = Platform(tmp_path / "rough", SMALL)
    try:
        calm.run()
        for stage in STAGES:
            rough.kill_when(rough.start("stock-platform", "run"), stage, seconds=1.5)
            kill_warehouse_when(rough, rough.start("stock-platform", "run"), stage)
        rough.run()
        rows, expected = state.lake_rows(rough), state.lake_rows(calm)
        assert rows.keys() == expected.keys()
        for dataset, frame in expected.items():
            assert rows[dataset].equals(frame), dataset
        assert state.tables(rough, clocks=False) == state.tables(calm, clocks=False)
    finally:
        rough.down()
        calm.down()


def kill_warehouse_when(platform: Platform, process: subprocess.Popen[str], stage: str) -> None:
    """`kill -9` the warehouse as `stage` begins; the run may end that stage, but no later one.

    The stage either fails, saying so, or is done with a warehouse started anew.
    """
    assert process.stderr is not None
    printed = []
    killed = False
    for line in process.stderr:
        printed.append(line)
        if line.startswith(f"{stage}:") and not killed:
            assert "up to date" not in line, f"{stage} was finished before it could be killed"
            pid = platform.warehouse_pid()
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            killed = True
        elif killed and line.startswith(tuple(f"{later}:" for later in STAGES if later != stage)):
            process.kill()
    process.communicate()
    assert killed
    failed = any(line.startswith("error: ") for line in printed)
    assert failed or any(line.startswith(f"{stage}: done") for line in printed)
