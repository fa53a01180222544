"""`week_ahead_model` and `promotions`: refits of every candidate and the decision which one speaks.

Wiring only: fitting, walk-forward and the promotion rule are in `stock_platform/ml`.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from stock_platform.defs.pictures import picture, table
from stock_platform.defs.resources import PlatformResource
from stock_platform.partitions import weekly
from stock_platform.progress import reporter

_FEATURES = [dg.AssetKey("fct_features_daily"), dg.AssetKey("int_features_as_of")]


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "week_ahead_model",
            deps=_FEATURES,
            group_name="training",
            kinds={"scikitlearn", "mlflow"},
            owners=["team:forecasting"],
            description="Every candidate refitted and registered where a refit is due, and its "
            "walk-forward record. Weeks between refits are served by the last one.",
        ),
        dg.AssetSpec(
            "promotions",
            deps=["week_ahead_model"],
            group_name="training",
            kinds={"clickhouse"},
            owners=["team:forecasting"],
            description="The promotion ledger: which model is champion from when on, and why. "
            "A refusal is a row too.",
        ),
    ],
    partitions_def=weekly,
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool="ledger",
)
def week_ahead_model(
    context: dg.AssetExecutionContext,
    platform: PlatformResource,
    mlflow: dg.ResourceParam[Any],
) -> Iterator[dg.MaterializeResult[None]]:
    """Train what serves the selected weeks; running it again adds nothing."""
    from stock_platform.ml.panel_reader import PanelReader
    from stock_platform.ml.plots import walk_forward_plot
    from stock_platform.ml.registry import Registry
    from stock_platform.ml.training import train_weeks

    weeks = [date.fromisoformat(key) for key in context.partition_keys]
    with platform.warehouse(context.run_id) as client, reporter("week_ahead_model") as progress:
        report = train_weeks(
            client,
            Registry(platform.settings),
            PanelReader.from_warehouse(client),
            platform.settings.source,
            weeks,
            snapshot_ids=platform.lake().snapshot_ids(),
            actor=f"dagster run {context.run_id}",
            progress=progress,
        )
    new = report.decisions.filter(pl.col("new")).height
    mlflow.set_tag("weeks", f"{min(weeks)} to {max(weeks)}")
    mlflow.log_metrics({"refits": report.decisions.height, "new_decisions": new})
    metadata: dict[str, dg.MetadataValue | int] = {"refits": report.decisions.height}
    if report.scores.height:
        last = report.scores["refit_week"].max()
        metadata["candidates_at_last_refit"] = table(
            report.scores.filter(report.scores["refit_week"] == last)
        )
    for pool, rows in report.evaluation.items():
        if rows.height:
            metadata[f"walk_forward_{pool}"] = picture(walk_forward_plot(rows), "walk-forward")
    yield dg.MaterializeResult(asset_key="week_ahead_model", metadata=metadata)
    yield dg.MaterializeResult(
        asset_key="promotions",
        metadata={"rows_added": new, "decisions": table(report.decisions)},
    )
