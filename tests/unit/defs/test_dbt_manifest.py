"""The dbt manifest of the code location, which several processes may want at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stock_platform.settings import PROJECT_ROOT


@pytest.mark.slow
def test_processes_that_start_at_once_all_find_a_whole_manifest(tmp_path: Path) -> None:
    """As the page, the daemon and the code server do under `make up` in a fresh clone."""
    ignored = shutil.ignore_patterns("target", "logs", ".git", ".venv", "build", ".stock-platform")
    clone = tmp_path / "clone"
    shutil.copytree(PROJECT_ROOT, clone, ignore=ignored)
    read = "from stock_platform.warehouse.manifest import manifest; print(manifest())"
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", read], cwd=clone, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in starting:
        printed, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        path = Path(printed.strip())
        assert path.is_relative_to(clone)
        assert json.loads(path.read_text())["nodes"]
