"""dbt as a plain process, for tests and for whoever builds the marts without Dagster.

Inside a Dagster run dagster-dbt starts it (`defs/marts/dbt.py`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.settings import PROJECT_ROOT
from stock_platform.warehouse.dbt_env import dbt_environment

if TYPE_CHECKING:
    from stock_platform.settings import Settings

PROJECT = PROJECT_ROOT / "dbt"
ENTRY = "from stock_platform.warehouse.dbt_process import main; main()"
"""What an interpreter runs to be dbt."""


def start(
    settings: Settings,
    *arguments: str,
    run_id: str | None = None,
    project: Path = PROJECT,
    target: Path | None = None,
) -> subprocess.Popen[str]:
    """Start `dbt <arguments>` against the warehouse of `settings`, which must be running.

    It dies with this process. Its output, both streams, is read from `stdout`.

    dbt's artifacts and log go to `target` (`HOME/dbt` without one), the project stays untouched.
    """
    folder = target or settings.home / "dbt"
    folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *arguments, *folders],
        env={
            **os.environ,
            **dbt_environment(settings, run_id),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_USE_COLORS": "false",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(
    settings: Settings,
    *arguments: str,
    run_id: str | None = None,
    project: Path = PROJECT,
    target: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """`start` and wait; the return code is 0 when every model and test passed."""
    process = start(settings, *arguments, run_id=run_id, project=project, target=target)
    output, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output)
