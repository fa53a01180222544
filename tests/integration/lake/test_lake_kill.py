"""G2: kill -9 at any step, load again, and the lake is as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from stock_platform.settings import PROJECT_ROOT
from tests.integration.lake.kill_script import POINTS, load_everything
from tests.support.lake import Workshop, hour


def run_until_killed(home: Path, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.lake.kill_script", str(home), point],
        cwd=PROJECT_ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()


def state(workshop: Workshop) -> dict[str, pl.DataFrame]:
    """What a reader sees, moments aside: a killed load's rows keep the moment they were fetched."""
    return {
        name: workshop.lake.read(name).drop("known_at", "available_at")
        for name in ("equity_prices", "coverage")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Workshop:
    workshop = Workshop(tmp_path_factory.mktemp("clean"))
    load_everything(workshop, hour(0))
    return workshop


QUICK = {"one object of three linked", "committing"}
"""The other points are killed at with the slow tests."""


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in QUICK else pytest.mark.slow) for point in POINTS],
)
def test_kill_and_load_again(tmp_path: Path, undisturbed: Workshop, point: str):
    run_until_killed(tmp_path, point)
    killed = Workshop(tmp_path)
    before = killed.files()
    seen = state(killed)
    for name, frame in state(undisturbed).items():
        assert seen[name].height in (0, frame.height), "readers saw half a load"

    load_everything(killed, hour(1))

    after = killed.files()
    assert before.items() <= after.items(), "an object was lost or changed"
    assert sorted(after) == sorted(undisturbed.files())
    for name, frame in state(undisturbed).items():
        assert state(killed)[name].equals(frame)
        listed = killed.lake.objects(name)
        assert (
            listed["path"].n_unique()
            == listed.height
            == len([key for key in after if f"/{name}/" in key])
        )
    snapshots = killed.lake.snapshot_ids()
    load_everything(killed, hour(2))
    assert (killed.files(), killed.lake.snapshot_ids()) == (after, snapshots)
