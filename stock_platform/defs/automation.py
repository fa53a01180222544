"""Every job, schedule and sensor of the platform.

A job per partitions definition, so that one run can take a range of each: `dagster job execute`
with the range's two tags, or a backfill. The schedules are off until somebody turns them on: the
packaged sample has no tomorrow.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from stock_platform.defs.dashboards.superset import GROUP as DASHBOARDS
from stock_platform.defs.forecasting.forecasts import forecasts
from stock_platform.defs.ingestion.coverage import session_coverage
from stock_platform.defs.ingestion.raw import raw_assets
from stock_platform.defs.marts.dbt import marts
from stock_platform.defs.marts.reference import warehouse_reference
from stock_platform.defs.stages import BESIDE, FORECAST, REFRESH
from stock_platform.defs.training.model import week_ahead_model
from stock_platform.settings import load_settings
from stock_platform.sources import companions

_accuracy = dg.AssetSelection.groups("accuracy")
_marts = dg.AssetSelection.assets(marts, warehouse_reference, session_coverage) - _accuracy
_settings = load_settings()


def _loading(job: str, names: tuple[str, ...], what: str) -> UnresolvedAssetJobDefinition:
    raw = [asset for asset in raw_assets if asset.key.path[-1] in names]
    return dg.define_asset_job(
        job,
        selection=dg.AssetSelection.assets(*raw),
        description=f"Load days of {what} into the lake. Daily partitions.",
    )


ingest = _loading("ingest", (_settings.source,), f"the active source ({_settings.source})")
build_marts = dg.define_asset_job(
    "build_marts",
    selection=_marts,
    description="Read new lake objects into staging and rebuild the price and feature marts.",
)
forecast_week = dg.define_asset_job(
    FORECAST,
    selection=dg.AssetSelection.assets(week_ahead_model, forecasts),
    description="Train where a refit is due, decide on promotion, forecast. Weekly partitions.",
)
score_forecasts = dg.define_asset_job(
    "score_forecasts",
    selection=_accuracy,
    description="Score every matured forecast of the ledger against the random walk.",
)
refresh_dashboards = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.groups(DASHBOARDS),
    description="Check and apply Superset's dashboards, and renew what is cached of their charts.",
)
jobs = [ingest, build_marts, forecast_week, score_forecasts, refresh_dashboards]
_loads = [ingest]
if beside := companions(_settings):
    # A job of its own: an outage of the bank must not hold up the shares.
    ingest_beside = _loading(BESIDE, beside, f"what goes with it ({', '.join(beside)})")
    _loads.append(ingest_beside)
    jobs.append(ingest_beside)

schedules = [
    *(
        dg.build_schedule_from_partitioned_job(
            job, name=f"{job.name}_every_evening", hour_of_day=23, minute_of_hour=30
        )
        for job in _loads
    ),
    # Friday's bars are final a day after their close, and no exchange opens before Sunday evening.
    dg.build_schedule_from_partitioned_job(
        forecast_week, name="forecast_every_sunday", day_of_week=0, hour_of_day=4
    ),
]


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=_loads, request_job=build_marts
)
def build_marts_after_ingest(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """New days in the lake become rows in the marts."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[build_marts, forecast_week],
    request_job=score_forecasts,
)
def score_after_marts_or_forecasts(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """New prices mature old forecasts, and new forecasts want their rows in the accuracy marts."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[build_marts, score_forecasts],
    request_job=refresh_dashboards,
)
def refresh_dashboards_after_marts(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Charts cache what the marts said before."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


sensors = [
    build_marts_after_ingest,
    score_after_marts_or_forecasts,
    refresh_dashboards_after_marts,
]
