"""Checks of the marts that are more than a dbt test: what a person should be told."""

import dagster as dg

from stock_platform.defs.pictures import table
from stock_platform.defs.resources import PlatformResource

_EXAMPLES = 20


@dg.asset_check(
    asset=dg.AssetKey("fct_price_revisions"),
    description="Bars that were final and were restated by more than STOCK_PLATFORM_REVISION_ALERT "
    "in the newest load that brought news.",
)
def no_large_revision(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """A warning: the restatement is kept beside what was said before, and both can be read."""
    import polars as pl

    limit = platform.settings.revision_alert
    with platform.warehouse(context.run.run_id) as client:
        found = client.query_arrow(
            "SELECT symbol, session, kind, close_before, close_after, largest_price_change,"
            " known_at FROM market.fct_price_revisions"
            " WHERE known_at = (SELECT max(known_at) FROM market.stg_equity_prices"
            " WHERE source = {source:String})"
            " AND (largest_price_change > {limit:Float64} OR kind = 'rebasing')"
            " ORDER BY largest_price_change DESC, symbol, session",
            parameters={"limit": limit, "source": platform.settings.source},
        )
    large = pl.DataFrame(pl.from_arrow(found))
    return dg.AssetCheckResult(
        passed=large.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{large.height} restated bars moved by more than {limit:.1%}"
        if large.height
        else f"No restated bar moved by more than {limit:.1%}.",
        metadata={"restated": large.height, "largest": table(large.head(_EXAMPLES))},
    )


mart_checks = [no_large_revision]
