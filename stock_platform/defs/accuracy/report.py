"""`accuracy_report`: what the record of past forecasts says, as a picture and a table.

Wiring only: the record is `stock_platform/ml/record.py`.
"""

import dagster as dg
import polars as pl

from stock_platform.defs.pictures import picture, table
from stock_platform.defs.resources import PlatformResource

_BY = ["model", "instrument", "horizon"]


@dg.asset(
    deps=[
        "fct_forecast_accuracy",
        "agg_accuracy_by_week",
        *(f"agg_accuracy_by_{key}" for key in _BY),
    ],
    group_name="accuracy",
    kinds={"matplotlib"},
    owners=["team:forecasting"],
    description="The record of this code's backtest and of the live forecasts, pool by pool: skill "
    "with its confidence band, coverage over time, the calibration curve; and tables by model, "
    "instrument and horizon. Nothing is stored; the newest materialization's page is the report.",
)
def accuracy_report(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> dg.MaterializeResult[None]:
    """Draw and tabulate what has matured."""
    from stock_platform.ml.issue import backtest_name
    from stock_platform.ml.plots_record import record_plot
    from stock_platform.ml.record import coverage_drift, read_records, skill_drift

    metadata: dict[str, dg.MetadataValue | int | str] = {}
    with platform.warehouse(context.run_id) as client:
        for kind, name in (("backtest", backtest_name(platform.settings.source)), ("live", "")):
            records = read_records(client, kind, name)
            for pool, record in records.items():
                titled = f"record of the {kind}, pool {pool}"
                metadata[f"{kind}_{pool}_forecasts"] = int(record.weeks["forecasts"].sum())
                metadata[f"{kind}_{pool}_record"] = picture(record_plot(record), titled)
                metadata[f"{kind}_{pool}_coverage"] = coverage_drift(record).text
                metadata[f"{kind}_{pool}_skill"] = skill_drift(record).text
            if not records:
                metadata[f"{kind}_forecasts"] = 0
                continue
            for key in _BY:
                found = client.query_arrow(
                    f"SELECT * EXCEPT (kind, backtest_name) FROM market.agg_accuracy_by_{key}"  # noqa: S608
                    " WHERE kind = {kind:String} AND backtest_name = {name:String}"
                    " ORDER BY forecasts DESC LIMIT 50",
                    parameters={"kind": kind, "name": name},
                )
                frame = pl.DataFrame(pl.from_arrow(found))
                metadata[f"{kind}_by_{key}"] = table(frame)
    return dg.MaterializeResult(metadata=metadata)
