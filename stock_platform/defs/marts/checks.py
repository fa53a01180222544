"""Checks of the marts that are more than a dbt test: what a person should be told."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)

from stock_platform.defs.pictures import table
from stock_platform.defs.resources import PlatformResource

_EXAMPLES = 20
_TOLD = "told"
"""Metadata of an evaluation: what it and those before it told. Kept there, because then a revision
is told and remembered in one step, or, when the run dies, neither."""


@dg.asset_check(
    asset=dg.AssetKey("fct_price_revisions"),
    description="Figures that were final and were restated by more than "
    "STOCK_PLATFORM_REVISION_ALERT, each told once, however many loads lie between two checks.",
)
def no_large_revision(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """A warning: the restatement is kept beside what was said before, and both can be read."""
    from stock_platform.warehouse import revisions

    limit = platform.settings.revision_alert
    told = revisions.from_json(_last_told(context.instance))
    with platform.warehouse(context.run.run_id) as client:
        found = revisions.large(client, limit)
    news = revisions.untold(found, told)
    return dg.AssetCheckResult(
        passed=news.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{news.height} restated figures moved by more than {limit:.1%}"
        if news.height
        else f"No figure was newly restated by more than {limit:.1%}.",
        metadata={
            "restated": news.height,
            "largest": table(news.drop("id").head(_EXAMPLES)),
            _TOLD: revisions.to_json(revisions.after_telling(found, told)),
        },
    )


def _last_told(instance: dg.DagsterInstance) -> Mapping[str, Any]:
    """What the last evaluation left; nothing if there was none."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        no_large_revision.check_key, limit=1, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    event = history[0].event if history else None
    evaluation = event.asset_check_evaluation if event else None
    kept = evaluation.metadata.get(_TOLD) if evaluation else None
    value = kept.value if isinstance(kept, dg.JsonMetadataValue) else None
    return value if isinstance(value, Mapping) else {}


mart_checks = [no_large_revision]
