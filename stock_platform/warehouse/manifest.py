"""The dbt project as dbt parsed it: what models there are, their keys, what they are made of.

Parsing is all that happens here; running dbt is `dbt.py`, its assets are `defs/marts/dbt.py`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from stock_platform.errors import PlatformError
from stock_platform.warehouse.dbt import ENTRY, PROJECT

LAYERS = ("intermediate", "marts")
"""Folders of models that are made from staging, and can be made as of a moment."""


@dataclass(frozen=True)
class Mart:
    """A model above staging.

    Attributes:
        key: the columns that name a row: those of its first `unique_key` test.
        upstream: names of every model and source it is made of.
        across: whether a row may depend on other instruments' (`meta: {across_instruments: true}`).
    """

    name: str
    key: tuple[str, ...]
    upstream: frozenset[str]
    across: bool


def manifest() -> Path:
    """The parsed project, parsed again when a file of it is newer.

    One process parses at a time, and the manifest appears whole: several start at once under
    `make up`, and a killed one must not leave half a file behind.

    Raises:
        PlatformError: dbt cannot parse the project; the message is dbt's.
    """
    path = PROJECT / "target" / "manifest.json"
    newest = newest_change()
    if _is_current(path, newest):
        return path
    beside = path.parent / "parse"
    beside.mkdir(parents=True, exist_ok=True)
    with (beside / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_current(path, newest):
            parsed = subprocess.run(
                [sys.executable, "-c", ENTRY, "--quiet", "parse", "--target-path", str(beside)],
                cwd=PROJECT,
                env={**os.environ, "DBT_PROFILES_DIR": str(PROJECT)},
                capture_output=True,
                text=True,
                check=False,
            )
            if parsed.returncode:
                raise PlatformError(f"dbt cannot parse {PROJECT}:\n{parsed.stdout}{parsed.stderr}")
            # dagster-dbt gives the other file to each run, which then needs no parsing of its own.
            for name in ("partial_parse.msgpack", path.name):
                (beside / name).replace(path.parent / name)
            path.touch()
    return path


def newest_change() -> float:
    """When a file of the project was changed last, as a file's time."""
    files = [
        file
        for folder in ("models", "macros", "tests", "seeds")
        for file in (PROJECT / folder).rglob("*")
        if file.is_file()
    ]
    return max(file.stat().st_mtime for file in [*files, *PROJECT.glob("*.yml")])


def _is_current(path: Path, newest: float) -> bool:
    return path.exists() and path.stat().st_mtime >= newest


def mart(name: str) -> Mart:
    """The model of that name.

    Raises:
        PlatformError: there is none above staging, or none with a key.
    """
    content = _content()
    nodes = {
        node["name"]: node
        for node in content["nodes"].values()
        if node["resource_type"] == "model" and node["fqn"][1] in LAYERS
    }
    keys = _keys(content)
    if name not in nodes:
        near = get_close_matches(name, nodes, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(keys))}"
        raise PlatformError(f"there is no mart {name!r}: {hint}")
    if name not in keys:
        raise PlatformError(
            f"{name} has no key to tell its rows by: give it a unique_key test in dbt/models, or "
            f"choose one of {', '.join(sorted(keys))}"
        )
    node = nodes[name]
    above = _upstream(content, node["unique_id"])
    return Mart(name, keys[name], above, bool(node["meta"].get("across_instruments")))


def _keys(content: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for node in content["nodes"].values():
        of_test = node.get("test_metadata", {})
        if of_test.get("name") == "unique_key":
            model = node["attached_node"].rsplit(".", 1)[1]
            found.setdefault(model, tuple(of_test["kwargs"]["columns"]))
    return found


def _upstream(content: dict[str, Any], unique_id: str) -> frozenset[str]:
    found: set[str] = set()
    todo = [unique_id]
    while todo:
        for parent in content["parent_map"].get(todo.pop(), ()):
            name = parent.rsplit(".", 1)[1]
            if name not in found:
                found.add(name)
                todo.append(parent)
    return frozenset(found)


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(manifest().read_text())
    return content
