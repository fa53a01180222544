"""`week_ahead_model` and `promotions`: refits of every candidate and the decision which one speaks.

Wiring only: fitting, walk-forward and the promotion rule are in `stock_platform/ml`.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from stock_platform.defs.pictures import picture, table
from stock_platform.defs.resources import PlatformResource
from stock_platform.partitions import weekly
from stock_platform.progress import reporter

if TYPE_CHECKING:
    from stock_platform.ml.training import TrainingReport

REFIT_TAG = "stock_platform/refit"
"""Run tag; with the value `yes` the selected weeks are refitted whether or not it is their turn."""

_FEATURES = ["fct_features_daily", "int_features_as_of", "int_bars_as_of"]


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
            refit_all=context.run.tags.get(REFIT_TAG) == "yes",
            progress=progress,
        )
    new = report.decisions.filter(pl.col("new")).height
    mlflow.set_tag("weeks", f"{min(weeks)} to {max(weeks)}")
    mlflow.log_metrics({"refits": report.decisions.height, "new_decisions": new})
    _describe(context, report)
    yield dg.MaterializeResult(asset_key="week_ahead_model")
    yield dg.MaterializeResult(asset_key="promotions", metadata={"rows_added": new})


def _describe(context: dg.AssetExecutionContext, report: "TrainingReport") -> None:
    """Each refit on the partition of its week; the pictures, large, on the newest partition."""
    from stock_platform.ml.plots import walk_forward_plot

    keys = set(context.partition_keys)
    for name, asset, rows in (
        ("candidates", "week_ahead_model", report.scores),
        ("decisions", "promotions", report.decisions),
    ):
        for part in rows.partition_by("refit_week") if rows.height else []:
            key = str(part["refit_week"][0])
            if key in keys:
                context.add_asset_metadata({name: table(part)}, asset, partition_key=key)
    newest = {
        f"walk_forward_{pool}": picture(walk_forward_plot(rows), "walk-forward")
        for pool, rows in report.evaluation.items()
        if rows.height
    }
    context.add_asset_metadata(
        newest | {"decisions": table(report.decisions)},
        "week_ahead_model",
        partition_key=max(keys),
    )
