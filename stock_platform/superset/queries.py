"""The query of a chart, as Superset's own pages would send it.

Superset's data endpoint and its cache read a stored `query_context`, which its editor writes when a
person saves a chart; for charts from YAML it is derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stock_platform.superset.assets import Dataset
from stock_platform.superset.charts import (
    BigNumberParams,
    Chart,
    HeatmapParams,
    MixedParams,
    Params,
    TableParams,
    TimeseriesParams,
)

Query = dict[str, Any]
NO_LIMIT_OF_TIME = "No filter"


def queries(chart: Chart, dataset: Dataset) -> list[Query]:
    """The queries of a chart: one, or two for a mixed one."""
    of_type: dict[type[Params], Callable[[Any], list[Query]]] = {
        BigNumberParams: lambda p: [{"columns": [], "metrics": [p.metric]}],
        TimeseriesParams: lambda p: [_timeseries(p, p.metrics, p.groupby)],
        MixedParams: lambda p: [
            _timeseries(p, p.metrics, p.groupby),
            _timeseries(p, p.metrics_b, p.groupby_b),
        ],
        HeatmapParams: lambda p: [_heatmap(p)],
        TableParams: lambda p: [_table(p)],
    }
    common = {
        "filters": [
            {"col": one.column, "op": one.operator, "val": one.value}
            for one in chart.params.row_filters
        ],
        "extras": {"having": "", "where": ""},
        "applied_time_extras": {},
        "annotation_layers": [],
        "row_limit": chart.params.row_limit,
        "url_params": {},
        "custom_params": {},
        "custom_form_data": {},
    }
    if dataset.time_column:
        # A dashboard's filter of dates replaces the value.
        of_time = {"col": dataset.time_column, "op": "TEMPORAL_RANGE", "val": NO_LIMIT_OF_TIME}
        common["filters"] = [of_time, *common["filters"]]  # type: ignore[misc]
    return [{**common, **query} for query in of_type[type(chart.params)](chart.params)]


def axis(column: str, grain: str | None) -> dict[str, Any]:
    """The column of an axis."""
    found = {
        "columnType": "BASE_AXIS",
        "sqlExpression": column,
        "label": column,
        "expressionType": "SQL",
    }
    return found | ({"timeGrain": grain} if grain else {})


def _timeseries(
    params: TimeseriesParams | MixedParams, metrics: list[str], groupby: list[str]
) -> Query:
    """Rows by axis and group, pivoted to a column per group."""
    order = params.timeseries_limit_metric or metrics[0]
    pivot = {
        "operation": "pivot",
        "options": {
            "index": [params.x_axis],
            "columns": groupby,
            "aggregates": {metric: {"operator": "mean"} for metric in metrics},
            "drop_missing_columns": False,
        },
    }
    steps = [pivot]
    if groupby and len(metrics) == 1:
        rename = {"columns": {metrics[0]: None}, "level": 0, "inplace": True}
        steps.append({"operation": "rename", "options": rename})
    return {
        "columns": [axis(params.x_axis, params.time_grain_sqla), *groupby],
        "metrics": metrics,
        "orderby": [[order, False]],
        "series_columns": groupby,
        "series_limit": params.limit or 0,
        **(
            {"series_limit_metric": params.timeseries_limit_metric}
            if params.timeseries_limit_metric
            else {}
        ),
        "order_desc": True,
        "post_processing": [*steps, {"operation": "flatten"}],
    }


def _heatmap(params: HeatmapParams) -> Query:
    return {
        "columns": [axis(params.x_axis, params.time_grain_sqla), params.groupby],
        "metrics": [params.metric],
        "orderby": [[params.x_axis, True], [params.groupby, True]],
        "post_processing": [
            {
                "operation": "rank",
                "options": {"metric": params.metric, "group_by": None},
            }
        ],
    }


def _table(params: TableParams) -> Query:
    ordered = [[name, not params.order_desc] for name in params.order_by]
    if params.all_columns:
        return {"columns": params.all_columns, "metrics": None, "orderby": ordered}
    return {
        "columns": params.groupby,
        "metrics": params.metrics,
        "orderby": ordered or [[params.metrics[0], False]],
        "post_processing": [],
    }
