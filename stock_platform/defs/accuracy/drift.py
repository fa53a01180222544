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
            description="Did the 80 % interval hold 80 % of the last 26 weeks, but for chance? Of "
            "each pool; one where it did not is enough to warn.",
        ),
        dg.AssetCheckSpec(
            "skill_holds",
            asset=_REPORT,
            description="Did the last 52 weeks beat the random walk? Of each pool; one where they "
            "did not is enough to warn.",
        ),
    ]
)
def record_checks(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> Iterator[dg.AssetCheckResult]:
    """Of a pool's live forecasts once half a year has matured, before of this code's backtest."""
    from stock_platform.ml.issue import backtest_name
    from stock_platform.ml.record import MIN_WEEKS, coverage_drift, read_records, skill_drift

    with platform.warehouse(context.run.run_id) as client:
        live = read_records(client, "live", "")
        records = read_records(client, "backtest", backtest_name(platform.settings.source))
    ripe = {pool: found for pool, found in live.items() if found.weeks.height >= MIN_WEEKS}
    records = {**live, **records, **ripe}
    yield _result("coverage_holds", {p: coverage_drift(found) for p, found in records.items()})
    yield _result("skill_holds", {p: skill_drift(found) for p, found in records.items()})


def _result(name: str, findings: "dict[str, Finding]") -> dg.AssetCheckResult:
    from stock_platform.ml.record import finding_table, told

    return dg.AssetCheckResult(
        asset_key=_REPORT,
        check_name=name,
        passed=all(found.holds for found in findings.values()),
        severity=_WARN,
        description=told(findings),
        metadata={"pools": table(finding_table(findings))} if findings else {},
    )


@dg.asset_check(
    asset=_FEATURES,
    description="Are the features of the last 26 weeks distributed as in the five years before, in "
    "each pool? The market's mood alone can move them; look at the intervals then.",
)
def features_hold(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Population stability index of every feature a model reads, in each pool."""
    from stock_platform.ml.features import CALENDAR, FEATURES
    from stock_platform.ml.record import feature_drift

    # The calendar's move with the season, and nobody trades otherwise for it.
    watched = [name for name in FEATURES if name not in CALENDAR]
    with platform.warehouse(context.run.run_id) as client:
        found = feature_drift(client, watched)
    shifted = [
        f"{pool} {', '.join(part['feature'])}"
        for (pool,), part in found.filter("shifted").group_by("pool", maintain_order=True)
    ]
    return dg.AssetCheckResult(
        passed=not shifted,
        severity=_WARN,
        description=f"shifted: {'; '.join(shifted)}" if shifted else "no feature has shifted",
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
