"""One `stock-platform run` at a time in a home, and what a killed one left behind."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings

PID_TAG = ".dagster/stock_platform/pid"
"""The process that executes a run; Dagster's pages leave out tags that begin with `.dagster/`."""


def fail_orphans(settings: Settings, instance: DagsterInstance) -> None:
    """Mark runs of a killed `stock-platform run` as failed; nothing else will.

    The lock is held, so a run with our tag that claims to be going on has lost its process.
    """
    from stock_platform.ml.tracking import end_runs_of

    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        if PID_TAG in run.tags:
            instance.report_run_failed(run, f"process {run.tags[PID_TAG]} was killed")
            end_runs_of(settings, run.run_id)


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Hold the home's lock; PlatformError naming the process that holds it already."""
    import fcntl

    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PlatformError(
                f"another run (pid {lock.read().strip() or 'unknown'}) works in {home}: "
                "wait for it, or give this one a STOCK_PLATFORM_HOME of its own"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def stdout_to(log: Path) -> Iterator[None]:
    """Standard output of this process and of dbt goes to the log: ours is for the result."""
    sys.stdout.flush()
    before = os.dup(1)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(before, 1)
            os.close(before)
