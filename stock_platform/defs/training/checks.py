"""Checks of the promotion ledger: what a person should be told."""

import json

import dagster as dg

from stock_platform.defs.resources import PlatformResource


@dg.asset_check(
    asset=dg.AssetKey("promotions"),
    description="Was every champion compared with its challengers when it was last decided? One "
    "that could not be scored speaks on as it was fitted, until a person replaces it.",
)
def champions_were_scored(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Look at the last decision of each pool."""
    with platform.warehouse(context.run.run_id) as client:
        rows = client.query(
            "SELECT pool, argMax(evidence, (data_as_of, decided_at, decision_id)),"
            " argMax(reason, (data_as_of, decided_at, decision_id)) FROM market.promotions"
            " WHERE source = {source:String} GROUP BY pool ORDER BY pool",
            parameters={"source": platform.settings.source},
        ).result_rows
    unscored = {
        pool: reason for pool, evidence, reason in rows if "unscored" in json.loads(evidence)
    }
    return dg.AssetCheckResult(
        passed=not unscored,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{pool}: {reason}" for pool, reason in unscored.items())
        or f"{len(rows)} pools, each compared or decided by hand.",
    )


promotion_checks = [champions_were_scored]
