"""Checks that warn when the present stops being like the past, and the sensor that refits then.

Wiring only: what is compared is `stock_platform/ml/record.py`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from stock_platform.defs.pictures import table
from stock_platform.defs.resources import PlatformResource
from stock_platform.defs.stages import FORECAST
from stock_platform.defs.training.model import REFIT_TAG

if TYPE_CHECKING:
    from stock_platform.ml.record import Finding

_REPORT = dg.AssetKey("accuracy_report")
_FEATURES = dg.AssetKey("fct_features_daily")
_FORECASTS = dg.AssetKey("forecasts")
_WARN = dg.AssetCheckSeverity.WARN


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "coverage_holds",
            asset=_REPORT,
            description="Did the 80 % interval hold 80 % of the last 26 weeks, but for chance?",
        ),
        dg.AssetCheckSpec(
            "skill_holds",
            asset=_REPORT,
            description="Did the last 52 weeks beat the random walk?",
        ),
    ]
)
def record_checks(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> Iterator[dg.AssetCheckResult]:
    """Of the live forecasts once half a year has matured, before that of this code's backtest."""
    from stock_platform.ml.issue import backtest_name
    from stock_platform.ml.record import MIN_WEEKS, coverage_drift, read_record, skill_drift

    with platform.warehouse(context.run.run_id) as client:
        record = read_record(client, "live", "")
        if record.weeks.height < MIN_WEEKS:
            record = read_record(client, "backtest", backtest_name(platform.settings.source))
    yield _result("coverage_holds", coverage_drift(record))
    yield _result("skill_holds", skill_drift(record))


def _result(name: str, finding: "Finding") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=_REPORT,
        check_name=name,
        passed=finding.holds,
        severity=_WARN,
        description=finding.text,
        metadata={"weeks": finding.weeks},
    )


@dg.asset_check(
    asset=_FEATURES,
    description="Are the features of the last 26 weeks distributed as in the five years before? "
    "The market's mood alone can move them; look at the intervals then.",
)
def features_hold(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Population stability index of every feature a model reads."""
    from stock_platform.ml.features import CALENDAR, FEATURES
    from stock_platform.ml.record import feature_drift

    # The calendar's move with the season, and nobody trades otherwise for it.
    watched = [name for name in FEATURES if name not in CALENDAR]
    with platform.warehouse(context.run.run_id) as client:
        found = feature_drift(client, watched)
    shifted = found.filter("shifted")["feature"].to_list() if found.height else []
    return dg.AssetCheckResult(
        passed=not shifted,
        severity=_WARN,
        description=f"shifted: {', '.join(shifted)}" if shifted else "no feature has shifted",
        metadata={"stability_index": table(found)} if found.height else {},
    )


@dg.sensor(
    job_name=FORECAST,
    minimum_interval_seconds=3600,
    description="Refits every candidate for the newest week forecast when the record has drifted: "
    "its intervals no longer hold, or it lost to the random walk. The gate decides as always. Once "
    "per week; off until turned on.",
)
def refit_on_drift(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Look at the newest outcome of the record's checks."""
    storage = context.instance.event_log_storage
    keys = [dg.AssetCheckKey(_REPORT, name) for name in ("coverage_holds", "skill_holds")]
    latest = storage.get_latest_asset_check_execution_by_key(keys)
    failed = AssetCheckExecutionRecordStatus.FAILED
    drifted = [key.name for key, record in latest.items() if record.status == failed]
    # The newest week that has been forecast: the one that is running has no origin yet.
    week = max(context.instance.get_materialized_partitions(_FORECASTS), default=None)
    if not drifted or week is None:
        return dg.SensorResult(skip_reason="the record holds, or nothing has been forecast")
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{week} {' '.join(sorted(drifted))}",
                partition_key=week,
                tags={REFIT_TAG: "yes"},
            )
        ]
    )


drift_checks = [record_checks, features_hold]
