"""The stages of `stock-platform run`: each job of the graph, what it reads and what it leaves.

What lives here decides what counts as "up to date". What does not: running a stage
(`pipeline.py`), what a job is made of (`automation.py`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import dagster as dg

from stock_platform.partitions import days, monday, weeks
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.sources import companions, get_source
from stock_platform.sources.base import Source
from stock_platform.warehouse.client import connect

BESIDE = "ingest_beside"
"""The job that loads what goes with the active source; others run without it."""
FORECAST = "forecast_week"
REFRESH = "refresh_dashboards"
"""The job of Superset's dashboards; a stage only where this home has a Superset."""


@dataclass(frozen=True)
class Stage:
    """One job of the graph.

    Attributes:
        asset: the asset that is materialized last.
        partitions: keys that must be materialized; None for an unpartitioned job.
        inputs: digest of what the stage reads, code included.
        outputs: digest of the state it leaves; differs when somebody removed or added something.
        tags: further tags of its run, which then covers every partition.
    """

    job: str
    asset: dg.AssetKey
    partitions: list[str] | None
    inputs: Callable[[], str]
    outputs: Callable[[], str]
    tags: dict[str, str] = field(default_factory=dict)


def stages(settings: Settings, source: Source) -> Iterator[Stage]:
    """The stages in their order, for the active source and what is loaded beside it."""
    import polars as pl

    from stock_platform.lake.lake import Lake
    from stock_platform.lake.schema import DATASETS
    from stock_platform.superset.refresh import is_set_up
    from stock_platform.superset.service import database

    first, last = source.span()
    package = PROJECT_ROOT / "stock_platform"
    calendars = [package / f"{name}.py" for name in ("calendars", "calendar_cbr", "universe")]
    loading = _digest_of(package / "sources", package / "lake", *calendars)
    dbt = PROJECT_ROOT / "dbt"
    models = _digest_of(dbt / "models", dbt / "macros", dbt / "dbt_project.yml")
    reference = _digest_of(package / "warehouse" / "reference.py", *calendars)
    forecasting = _digest_of(package / "ml")

    def lake_of(name: str) -> str:
        lake = Lake.open(settings)
        objects = [lake.objects(dataset).filter(pl.col("source") == name) for dataset in DATASETS]
        return _digest([frame["path"].to_list() for frame in objects])

    def marts() -> str:
        lakes = [lake_of(name) for name in (source.name, *companions(settings))]
        return _digest(source.name, lakes, models, source.instruments(), reference)

    def rows(*tables: str) -> Callable[[], str]:
        return lambda: _digest(_rows(settings, tables))

    ledger = ("forecasts", "promotions")
    by = ("week", "model", "instrument", "horizon")
    accuracy = (
        *("fct_forecast_accuracy", "fct_forecast_scores", "fct_week_ahead", "fct_promotions"),
        *("agg_calibration", "agg_skill_over_time", "agg_forecast_fan", "agg_accuracy"),
        *(f"agg_accuracy_by_{key}" for key in by),
    )
    start = max(first, monday(last) - timedelta(weeks=settings.backtest_weeks - 1))
    yield Stage(
        job="ingest",
        asset=dg.AssetKey(["raw", settings.source]),
        partitions=days(first, last),
        inputs=lambda: _digest(settings.source, source.fingerprint(), loading),
        outputs=lambda: lake_of(source.name),
    )
    for name in companions(settings):
        beside = get_source(settings, name)
        yield Stage(
            job=BESIDE,
            asset=dg.AssetKey(["raw", name]),
            partitions=days(*beside.span()),
            inputs=lambda beside=beside: _digest(beside.name, beside.fingerprint(), loading),  # type: ignore[misc]
            outputs=lambda name=name: lake_of(name),  # type: ignore[misc]
        )
    yield Stage(
        job="build_marts",
        asset=dg.AssetKey("fct_features_daily"),
        partitions=None,
        inputs=marts,
        # Whatever else is there is of this stage: a dropped view or an emptied table is made again.
        outputs=lambda: _digest(_rows(settings, (*ledger, *accuracy), others=True)),
    )
    yield Stage(
        job=FORECAST,
        asset=dg.AssetKey("forecasts"),
        partitions=weeks(start, last),
        inputs=lambda: _digest(marts(), forecasting),
        outputs=rows(*ledger),
    )
    yield Stage(
        job="score_forecasts",
        asset=dg.AssetKey("agg_accuracy"),
        partitions=None,
        inputs=lambda: _digest(marts(), _rows(settings, ledger)),
        outputs=rows(*accuracy),
    )
    if is_set_up(settings):
        assets = PROJECT_ROOT / "docker" / "superset"
        yield Stage(
            job=REFRESH,
            asset=dg.AssetKey(["superset", "dashboard", "market"]),
            partitions=None,
            inputs=lambda: _digest(marts(), _rows(settings, ledger), _digest_of(assets)),
            outputs=lambda: _digest(database(settings).exists()),
        )


def _rows(
    settings: Settings, tables: tuple[str, ...], *, others: bool = False
) -> list[tuple[str, int]]:
    """Name and rows of the tables, or of all others; a view has 0."""
    client = connect(settings)
    try:
        return sorted(
            (str(name), int(count or 0))
            for name, count in client.query(
                "SELECT name, total_rows FROM system.tables WHERE database = 'market'"
                " AND (name IN {tables:Array(String)}) != {others:Bool}",
                parameters={"tables": list(tables), "others": others},
            ).result_rows
        )
    finally:
        client.close()


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:32]


def _digest_of(*paths: Path) -> str:
    """Digest of source files: names and contents."""
    files = sorted(
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in {".py", ".sql", ".yml", ".yaml"}
    )
    content = [(str(file.relative_to(PROJECT_ROOT)), file.read_bytes()) for file in files]
    return _digest(content)
