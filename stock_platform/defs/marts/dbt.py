"""The dbt project as assets: staging, intermediate and marts with their tests as checks."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
from packaging import version

from stock_platform.defs.ingestion.raw import lake_table_key
from stock_platform.defs.resources import PlatformResource
from stock_platform.warehouse.dbt import PROJECT
from stock_platform.warehouse.manifest import manifest

# dagster_dbt needs dbt-core only for dbt's own Python API. dbt runs as a process of its own here,
# so dagster_dbt is imported the way it imports itself where dbt-core is not installed: that saves
# 1.2 s, more than everything else of the code location, at every start of every process.
sys.modules["dbt.version"] = None  # type: ignore[assignment]
try:
    from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets
finally:
    del sys.modules["dbt.version"]

DBT_EXECUTABLE = str(Path(sys.executable).parent / "stock-platform-dbt")
TARGETS_KEPT = 20
"""Of so many runs dbt's folder is kept: its log, and the SQL as it was sent."""
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
project = DbtProject(project_dir=PROJECT, profiles_dir=PROJECT)


class DbtProcess(DbtCliResource):
    """dbt as a process only: none of dagster-dbt's seconds of loading dbt's Python API first."""

    @cached_property
    def _cli_version(self) -> version.Version:
        return version.parse(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> None:  # type: ignore[override]
        """The adapter serves `fetch_row_counts` and its like, which these assets don't call."""


dbt_resource = DbtProcess(
    project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=DBT_EXECUTABLE
)


class Translator(DagsterDbtTranslator):
    """Names of dbt nodes in the asset graph."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Models and Python's tables by their name; lake sources by their catalog table."""
        if dbt_resource_props.get("source_name") == "lake":
            return lake_table_key(dbt_resource_props["name"])
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """The layer, which is the folder under `models/`; accuracy is a group of its own."""
        if "accuracy" in dbt_resource_props.get("tags", []):
            return "accuracy"
        return str(dbt_resource_props["fqn"][1])

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:  # noqa: ARG002
        """All marts belong to the data platform's team."""
        return ["team:data-platform"]


@dbt_assets(
    manifest=json.loads(manifest().read_text()),
    project=project,
    dagster_dbt_translator=Translator(),
    pool="dbt",
)
def marts(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, platform: PlatformResource
) -> Iterator[Any]:
    """`dbt build` of the selected models against the warehouse, the run id in every query."""
    from stock_platform.warehouse.dbt_env import dbt_environment

    with (
        platform.warehouse(context.run_id),
        _environment(dbt_environment(platform.settings, context.run_id)),
    ):
        # What dbt compiled and logged stays with the platform's other files, a folder per run.
        targets = platform.settings.home / "dbt"
        prune_targets(targets, lambda run_id: _may_be_running(context.instance, run_id))
        target = targets / context.run_id
        yield from dbt.cli(["build"], context=context, target_path=target).stream()


def prune_targets(folder: Path, may_be_running: Callable[[str], bool]) -> None:
    """Delete dbt's folders of all but the newest runs.

    Args:
        folder: holds a folder per run id; whatever else is in it stays.
        may_be_running: of a run id; such a run's folder stays however old it is.
    """
    runs = [path for path in folder.glob("*") if _RUN_ID.fullmatch(path.name)]
    runs.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in runs[TARGETS_KEPT:]:
        if not may_be_running(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _may_be_running(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run goes on; one that this instance never heard of may, in another instance."""
    run = instance.get_run_by_id(run_id)
    return run is None or not run.is_finished


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of dbt's process, which it takes from ours; put back so that no secret stays."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
