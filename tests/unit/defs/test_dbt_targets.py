"""Folders that dbt leaves per run: old ones go, never one that may still be written."""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from stock_platform.defs.marts import dbt


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


def target(folder: Path, name: str, age: int) -> str:
    (folder / name).mkdir(parents=True)
    (folder / name / "manifest.json").write_text("{}")
    os.utime(folder / name, (1_700_000_000 - age,) * 2)
    return name


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_newest_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    runs = [target(tmp_path, str(uuid4()), age) for age in range(dbt.TARGETS_KEPT + 5)]
    others = {target(tmp_path, name, 10**6) for name in ("target", "logs")}
    dbt.prune_targets(tmp_path, lambda _: False)
    assert names(tmp_path) == {*runs[: dbt.TARGETS_KEPT], *others}
    dbt.prune_targets(tmp_path / "nowhere", lambda _: False)


def test_a_run_in_progress_keeps_its_folder(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt, "TARGETS_KEPT", 0)
    statuses = ("STARTING", "STARTED", "CANCELING", "SUCCESS", "FAILURE", "CANCELED")
    runs = {}
    for status in statuses:
        run = instance.create_run_for_job(_job, status=dg.DagsterRunStatus[status])
        runs[target(tmp_path, run.run_id, 10**6)] = status
    unknown = target(tmp_path, str(uuid4()), 10**6)
    dbt.prune_targets(tmp_path, lambda run_id: dbt._may_be_running(instance, run_id))
    kept = {runs.get(name, name) for name in names(tmp_path)}
    assert kept == {"STARTING", "STARTED", "CANCELING", unknown}


@dg.job
def _job() -> None:
    pass
