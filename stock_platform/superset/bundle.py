"""The folder of assets as one checked whole: every name in it leads to something that exists.

Dashboard -> chart -> dataset -> dbt model: a renamed column is found here, by `make lint` and the
tests, and not by somebody who opens a page. Nothing is applied unless all of it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import yaml

from stock_platform.errors import PlatformError
from stock_platform.marked_yaml import ConfigFileError, load_model, load_plain
from stock_platform.settings import PROJECT_ROOT
from stock_platform.superset.assets import Dashboard, Database, Dataset, Metadata, missing_uuid
from stock_platform.superset.charts import TYPES, Chart, Strict
from stock_platform.superset.contracts import MODELS, Model, models

ASSETS = PROJECT_ROOT / "docker" / "superset" / "assets"
FOLDERS = ("databases", "datasets", "charts", "dashboards")
ModelT = TypeVar("ModelT", bound=Strict)


class AssetError(PlatformError):
    """Assets are wrong; the message has a line for each problem, with file and field."""


@dataclass
class Bundle:
    """Everything by its name, which is its file's; `files` gives the file of `folder/name`."""

    databases: dict[str, Database] = field(default_factory=dict)
    datasets: dict[str, Dataset] = field(default_factory=dict)
    charts: dict[str, Chart] = field(default_factory=dict)
    dashboards: dict[str, Dashboard] = field(default_factory=dict)
    contracts: dict[str, Model] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def load(folder: Path = ASSETS, contracts: Path = MODELS) -> Bundle:
    """Read and check everything.

    Args:
        folder: holds metadata.yaml and a folder for each kind.
        contracts: dbt's models with their YAML.

    Raises:
        AssetError: something does not hold; all problems are told at once.
    """
    problems: list[str] = []
    bundle = Bundle(contracts=models(contracts))
    _read(folder, folder / "metadata.yaml", Metadata, problems)
    for kind in FOLDERS:
        for path in sorted((folder / kind).rglob("*.y*ml")):
            key = f"{kind}/{path.stem}"
            if key in bundle.files:
                problems.append(
                    f"{_shown(folder, path)}: the name {path.stem} is taken by {bundle.files[key]}"
                )
                continue
            bundle.files[key] = _shown(folder, path)
            _add(bundle, folder, kind, path, problems)
    strange = [p for p in folder.glob("*") if p.name not in (*FOLDERS, "metadata.yaml")]
    problems += [f"{path.name}: is no asset: expected {', '.join(FOLDERS)}" for path in strange]
    if not problems:  # a file that could not be read would be told again by all that name it
        problems += _problems(bundle)
    if problems:
        raise AssetError("the assets of Superset are wrong:\n  " + "\n  ".join(problems))
    return bundle


def _add(bundle: Bundle, folder: Path, kind: str, path: Path, problems: list[str]) -> None:
    name = path.stem
    if kind == "charts":
        model = TYPES.get(viz_type := _viz_type(path))
        if model is None and viz_type:
            problems.append(
                f"{_shown(folder, path)}, viz_type: {viz_type!r} is not known here: use one of "
                f"{', '.join(TYPES)}"
            )
        elif chart := _read(folder, path, model or Chart, problems):
            bundle.charts[name] = chart
    elif kind == "databases" and (database := _read(folder, path, Database, problems)):
        bundle.databases[name] = database
    elif kind == "datasets" and (dataset := _read(folder, path, Dataset, problems)):
        bundle.datasets[name] = dataset
    elif kind == "dashboards" and (dashboard := _read(folder, path, Dashboard, problems)):
        bundle.dashboards[name] = dashboard


def _read(folder: Path, path: Path, model: type[ModelT], problems: list[str]) -> ModelT | None:
    try:
        return load_model(path, model)
    except ConfigFileError as error:
        text = str(error).replace(path.name, _shown(folder, path))
        if "uuid: missing" in text:
            text += f" (uuid: {missing_uuid(path.parent.name, path.stem)})"
        problems.append(text)
        return None


def _viz_type(path: Path) -> str:
    """What a chart says it is; empty when that can't be read, which `_read` then tells."""
    try:
        content = load_plain(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(content.get("viz_type", "")) if isinstance(content, dict) else ""


def _problems(bundle: Bundle) -> Iterator[str]:
    yield from _ids(bundle)
    for name, dataset in bundle.datasets.items():
        yield from _of_dataset(bundle, name, dataset)
    for name, chart in bundle.charts.items():
        yield from _of_chart(bundle, name, chart)
    for name, dashboard in bundle.dashboards.items():
        yield from _of_dashboard(bundle, name, dashboard)
    if len(bundle.databases) != 1:
        yield f"databases: {len(bundle.databases)} files: there is one warehouse"
    shown = {chart for dashboard in bundle.dashboards.values() for chart in dashboard.charts()}
    for name in sorted(set(bundle.charts) - shown):
        yield f"{bundle.files[f'charts/{name}']}: no dashboard shows it: add it to one or delete it"
    used = {chart.dataset for chart in bundle.charts.values()}
    for name in sorted(set(bundle.datasets) - used):
        yield f"{bundle.files[f'datasets/{name}']}: no chart reads it: delete it"


def _ids(bundle: Bundle) -> Iterator[str]:
    seen: dict[UUID, str] = {}
    for kind in FOLDERS:
        for name, asset in getattr(bundle, kind).items():
            file = bundle.files[f"{kind}/{name}"]
            if asset.uuid in seen:
                yield (
                    f"{file}, uuid: {asset.uuid} is taken by {seen[asset.uuid]}: "
                    f"take {missing_uuid(kind, name)}"
                )
            seen[asset.uuid] = file
    slugs: dict[str, str] = {}
    for name, dashboard in bundle.dashboards.items():
        file = bundle.files[f"dashboards/{name}"]
        if dashboard.slug in slugs:
            yield f"{file}, slug: {dashboard.slug!r} is taken by {slugs[dashboard.slug]}"
        slugs[dashboard.slug] = file


def _of_dataset(bundle: Bundle, name: str, dataset: Dataset) -> Iterator[str]:
    file = bundle.files[f"datasets/{name}"]
    model = bundle.contracts.get(name)
    if model is None:
        near = _near(name, bundle.contracts)
        yield f"{file}: there is no dbt model {name!r} with a contract{near}"
        return
    for column in dataset.columns:
        if column not in model.columns:
            yield (
                f"{file}, columns: the dbt model {name} has no column {column!r}"
                f"{_near(column, model.columns)}"
            )
    if dataset.time_column and dataset.time_column not in dataset.columns:
        yield f"{file}, time_column: {dataset.time_column!r} is not among the columns"
    elif dataset.time_column in model.columns and not model.columns[dataset.time_column].is_date:
        yield f"{file}, time_column: {dataset.time_column!r} holds no dates"
    for column in dataset.labels:
        if column not in dataset.columns:
            yield f"{file}, labels.{column}: is not among the columns"
    for metric, one in dataset.metrics.items():
        yield from _of_expression(f"{file}, metrics.{metric}.expression", one.expression, dataset)


def _of_expression(where: str, expression: str, dataset: Dataset) -> Iterator[str]:
    """Columns that an expression of ClickHouse's SQL reads and the dataset lacks."""
    import sqlglot
    from sqlglot import expressions

    try:
        tree = sqlglot.parse_one(expression, dialect="clickhouse")
    except sqlglot.errors.SqlglotError as error:
        yield f"{where}: is no SQL expression: {str(error).splitlines()[0]}"
        return
    for column in tree.find_all(expressions.Column):
        if column.name not in dataset.columns:
            yield (
                f"{where}: the dataset has no column {column.name!r}"
                f"{_near(column.name, dataset.columns)}"
            )


def _of_chart(bundle: Bundle, name: str, chart: Chart) -> Iterator[str]:
    file = bundle.files[f"charts/{name}"]
    dataset = bundle.datasets.get(chart.dataset)
    if dataset is None:
        yield (
            f"{file}, dataset: there is no dataset {chart.dataset!r}"
            f"{_near(chart.dataset, bundle.datasets)}"
        )
        return
    for kind, named, known in (
        ("column", chart.params.columns(), dataset.columns),
        ("metric", chart.params.metric_names(), dataset.metrics),
    ):
        for place, names in named.items():
            for one in names:
                if one not in known:
                    yield (
                        f"{file}, params.{place}: the dataset {chart.dataset} has no {kind} "
                        f"{one!r}{_near(one, known)}"
                    )


def _of_dashboard(bundle: Bundle, name: str, dashboard: Dashboard) -> Iterator[str]:
    file = bundle.files[f"dashboards/{name}"]
    seen: set[str] = set()
    for at, row in enumerate(dashboard.rows):
        for place, cell in enumerate(row.cells):
            where = f"{file}, rows[{at}].cells[{place}].chart"
            if cell.chart and cell.chart not in bundle.charts:
                yield f"{where}: there is no chart {cell.chart!r}{_near(cell.chart, bundle.charts)}"
            elif cell.chart in seen:
                yield f"{where}: {cell.chart!r} is on the page already"
            seen.add(cell.chart or "")
    for at, one in enumerate(dashboard.filters):
        where = f"{file}, filters[{at}]"
        if one.dataset is not None and one.dataset not in bundle.datasets:
            yield (
                f"{where}.dataset: there is no dataset {one.dataset!r}"
                f"{_near(one.dataset, bundle.datasets)}"
            )
        elif one.dataset is not None and one.column not in bundle.datasets[one.dataset].columns:
            known = bundle.datasets[one.dataset].columns
            yield (
                f"{where}.column: the dataset {one.dataset} has no column {one.column!r}"
                f"{_near(str(one.column), known)}"
            )
        for chart in one.excluded:
            if chart not in dashboard.charts():
                yield f"{where}.excluded: {chart!r} is not on the page"


def _near(name: str, known: Iterable[str] | Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""


def _shown(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder))
