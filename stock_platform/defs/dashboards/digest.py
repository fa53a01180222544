"""`weekly_digest`: forecasts, what changed, accuracy and data incidents, in one file to send.

Wiring only: what it says and how it looks is `stock_platform/digest`.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from stock_platform.defs.resources import PlatformResource
from stock_platform.ml.weeks import monday_of


@dg.asset(
    deps=[
        "forecasts",
        "promotions",
        "fct_forecast_accuracy",
        "fct_price_revisions",
        "fct_price_anomalies",
        "fct_corporate_actions",
        "session_coverage",
    ],
    group_name="accuracy",
    kinds={"html"},
    owners=["team:forecasting"],
    description="The digest of the newest forecast week, as a self-contained HTML page and as "
    "Markdown, in the folder `digests` of the platform's home: to be mailed or posted. The same "
    "data give the same files.",
)
def weekly_digest(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> dg.MaterializeResult[None]:
    """Write the two files of the newest week."""
    from stock_platform.digest.content import newest_week, read_digest
    from stock_platform.digest.render import to_markdown, write

    with platform.warehouse(context.run_id) as client:
        if newest_week(client, platform.settings.source) is None:
            return dg.MaterializeResult(metadata={"reason": "nothing has been forecast yet"})
        digest = read_digest(client, platform.settings.source)
    html, markdown = write(digest, platform.settings.home / "digests")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": digest.forecasts.height,
            "week": digest.week.isoformat(),
            "html": dg.MetadataValue.path(str(html)),
            "markdown": dg.MetadataValue.path(str(markdown)),
            "incidents": sum(kind.total for kind in digest.incidents),
            "digest": dg.MetadataValue.md(to_markdown(digest)),
        }
    )


@dg.asset_check(
    asset=weekly_digest,
    description="Is it of the week that ended last? An old one is not taken for news.",
)
def digest_is_of_the_last_week(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Compare the newest week with the calendar; a source without a present is let pass."""
    from stock_platform.digest.content import newest_week

    with platform.warehouse(context.run.run_id) as client:
        week = newest_week(client, platform.settings.source)
    ended = monday_of(datetime.now(UTC).date()) - timedelta(weeks=1)
    return dg.AssetCheckResult(
        passed=not platform.source().live or (week is not None and week >= ended),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"The newest forecast is of {week}, the last whole week {ended}.",
    )


digest_checks = [digest_is_of_the_last_week]
