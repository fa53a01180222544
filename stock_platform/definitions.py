"""The only Dagster entry point: every asset, check, job, schedule, sensor and resource.

Import this module with `-m stock_platform.definitions`; tests call `build_defs` with resources of
their own.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from stock_platform.defs.accuracy.checks import accuracy_checks
from stock_platform.defs.accuracy.drift import drift_checks, refit_on_drift
from stock_platform.defs.accuracy.report import accuracy_report
from stock_platform.defs.automation import jobs, schedules, sensors
from stock_platform.defs.dashboards.digest import digest_checks, weekly_digest
from stock_platform.defs.dashboards.superset import superset_dashboards
from stock_platform.defs.forecasting.forecasts import forecast_checks, forecasts
from stock_platform.defs.ingestion.checks import lake_checks
from stock_platform.defs.ingestion.coverage import outage_checks, session_coverage
from stock_platform.defs.ingestion.raw import lake_tables, raw_assets
from stock_platform.defs.marts.checks import mart_checks
from stock_platform.defs.marts.dbt import marts
from stock_platform.defs.marts.reference import warehouse_reference
from stock_platform.defs.resources import resources
from stock_platform.defs.training.checks import promotion_checks
from stock_platform.defs.training.model import week_ahead_model


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions, with some resources replaced.

    Args:
        resource_overrides: resource key -> resource, instead of the platform's own.
    """
    return dg.Definitions(
        assets=[
            *raw_assets,
            *lake_tables,
            session_coverage,
            warehouse_reference,
            marts,
            week_ahead_model,
            forecasts,
            accuracy_report,
            weekly_digest,
            superset_dashboards,
        ],
        asset_checks=[
            *lake_checks,
            *outage_checks,
            *promotion_checks,
            *digest_checks,
            *forecast_checks,
            *accuracy_checks,
            *drift_checks,
            *mart_checks,
        ],
        jobs=jobs,
        schedules=schedules,
        sensors=[*sensors, refit_on_drift],
        resources={**resources(), **(resource_overrides or {})},
        executor=dg.in_process_executor,
    )


defs = build_defs()
