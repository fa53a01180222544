"""The guide docs/adding-a-source.md, followed: its module and its test are taken from the page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "adding-a-source.md"
PLACES = ("stock_platform/sources/stooq.py", "tests/unit/sources/test_stooq.py")

OURS = 'lint.isort.known-first-party = ["stock_platform", "tests"]'
"""ruff takes a module for ours when its file is there, which this one's isn't."""

CONFTEST = """
from pathlib import Path
from stock_platform import sources
sources.__path__.append(str(Path(__file__).parent))
"""
"""Makes the folder it lies in a part of the package `stock_platform.sources`."""

DEFINITIONS = """
import json
import conftest
from stock_platform.definitions import defs
graph = defs.get_repository_def().asset_graph
def told(keys): return [key.to_user_string() for key in keys]
lake = next(key for key in graph.get_all_asset_keys() if key.path == ["lake", "coverage"])
print(json.dumps({
    "assets": told(graph.get_all_asset_keys()),
    "checks": [[key.asset_key.to_user_string(), key.name] for key in graph.asset_check_keys],
    "ingest": told(defs.get_job_def("ingest").asset_layer.executable_asset_keys),
    "above the lake": told(graph.get(lake).parent_keys),
}))
"""


def blocks() -> list[str]:
    """The module and the test, as the page has them."""
    found = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    return found


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A folder with what somebody who follows the guide has written."""
    for place, text in zip(PLACES, blocks(), strict=True):
        (tmp_path / Path(place).name).write_text(text)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def python(folder: Path, *args: str, **more: str) -> str:
    """Standard output of Python in the project with the folder's modules."""
    search = os.pathsep.join([str(ROOT), str(folder)])
    ours = ("STOCK_PLATFORM_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *args],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": search, "STOCK_PLATFORM_HOME": str(folder / "home")} | more,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.slow
def test_the_test_of_the_guide_passes(followed: Path) -> None:
    said = python(
        followed,
        *("-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-n", "0"),
        *("-q", "-p", "no:cacheprovider", str(followed / "test_stooq.py")),
    )
    assert re.search(r"^\d\d passed", said, re.MULTILINE), said
    assert "skipped" not in said


@pytest.mark.slow
def test_the_graph_has_the_source_without_another_edit(followed: Path) -> None:
    said = python(followed, "-c", DEFINITIONS, STOCK_PLATFORM_SOURCE="stooq")
    graph = json.loads(said.splitlines()[-1])
    assert "raw/stooq" in graph["assets"]
    assert ["raw/stooq", "no_outage"] in graph["checks"]
    assert ["raw/stooq", "one_row_per_key_and_known_at"] in graph["checks"]
    assert graph["ingest"] == ["raw/stooq"]
    assert "raw/stooq" in graph["above the lake"]


@pytest.mark.parametrize("number", [0, 1], ids=PLACES)
@pytest.mark.parametrize("command", [["check", "--config", OURS], ["format", "--check"]])
def test_the_code_of_the_guide_keeps_to_the_house_style(number: int, command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename", PLACES[number], "-"],
        cwd=ROOT,
        input=blocks()[number],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_module_of_the_guide_is_typed(followed: Path) -> None:
    python(followed, "-m", "mypy", "--config-file", "pyproject.toml", str(followed / "stooq.py"))


def test_every_file_the_guide_links_to_is_there() -> None:
    links = re.findall(r"\]\((\.\./[^)]+)\)", GUIDE.read_text())
    assert links
    for link in links:
        assert (GUIDE.parent / link).is_file(), link
