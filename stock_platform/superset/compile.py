"""Checked assets as the files that Superset imports.

What all charts share is set here once, so that a chart's YAML says only what is its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml

from stock_platform.superset.assets import Dashboard, Dataset, plain
from stock_platform.superset.bundle import Bundle, load
from stock_platform.superset.charts import (
    BigNumberParams,
    Chart,
    HeatmapParams,
    MixedParams,
    TableParams,
    TimeseriesParams,
)
from stock_platform.superset.filters import native_filter
from stock_platform.superset.layout import position
from stock_platform.superset.queries import NO_LIMIT_OF_TIME, queries

VERSION = "1.0.0"
PALETTE = "okabe_ito"
"""Defined in superset_config.py: eight colours that the colour-blind can tell apart."""

NOT_FROM_ZERO = "{yAxis: {scale: true}, toolbox: {feature: {dataZoom: {filterMode: 'none'}}}}"
"""A band is drawn as its lower end and a width on top of it. The zoom in each of Superset's charts
would drop widths, which are below such an axis; its own "truncate" does not help."""


def files(bundle: Bundle) -> dict[str, str]:
    """Path -> content of every file of the import, the same for the same assets."""
    found: dict[str, Any] = {"metadata.yaml": {"version": VERSION, "type": "assets"}}
    ((_, database),) = bundle.databases.items()
    name = f"databases/{database.database_name}.yaml"
    found[name] = plain(database) | {
        "version": VERSION,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": {"allows_virtual_table_explore": True},
    }
    for name, dataset in bundle.datasets.items():
        found[f"datasets/warehouse/{name}.yaml"] = _dataset(bundle, name, dataset) | {
            "database_uuid": str(database.uuid)
        }
    for name, chart in bundle.charts.items():
        found[f"charts/{name}.yaml"] = _chart(chart, bundle.datasets[chart.dataset])
    for name, dashboard in bundle.dashboards.items():
        found[f"dashboards/{name}.yaml"] = _dashboard(bundle, dashboard)
    return {
        path: yaml.safe_dump(content, sort_keys=True, allow_unicode=True)
        for path, content in found.items()
    }


def _dataset(bundle: Bundle, name: str, dataset: Dataset) -> dict[str, Any]:
    model = bundle.contracts[name]
    return {
        "version": VERSION,
        "uuid": str(dataset.uuid),
        "table_name": name,
        "schema": "market",
        "description": model.description,
        "main_dttm_col": dataset.time_column,
        "filter_select_enabled": True,
        "columns": [
            {
                "column_name": column,
                "verbose_name": dataset.labels.get(column),
                "type": model.columns[column].data_type,
                "description": model.columns[column].description,
                "is_dttm": model.columns[column].is_date,
                "groupby": True,
                "filterable": True,
            }
            for column in dataset.columns
        ],
        "metrics": [
            {
                "metric_name": metric,
                "verbose_name": one.label,
                "expression": one.expression,
                "description": f"{one.description} Unit: {one.unit}.",
                "d3format": one.d3format,
            }
            for metric, one in dataset.metrics.items()
        ],
    }


def _chart(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    params = _form(chart, dataset)
    context = {
        "datasource": {"id": 0, "type": "table"},
        "force": False,
        "queries": queries(chart, dataset),
        "form_data": params,
        "result_format": "json",
        "result_type": "full",
    }
    return {
        "version": VERSION,
        "uuid": str(chart.uuid),
        "slice_name": chart.slice_name,
        "description": chart.description,
        "viz_type": chart.viz_type,
        "cache_timeout": chart.cache_timeout,
        "dataset_uuid": str(dataset.uuid),
        "params": params,
        "query_context": json.dumps(context, sort_keys=True),
    }


def _form(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    """The chart's own fields and those that all of its kind share, as Superset names them."""
    params = chart.params
    own = plain(params)
    filters = own.pop("row_filters")
    form: dict[str, Any] = {
        "viz_type": chart.viz_type,
        "color_scheme": PALETTE,
        "adhoc_filters": [
            {
                "clause": "WHERE",
                "expressionType": "SIMPLE",
                "subject": one["column"],
                "operator": one["operator"],
                "comparator": one.get("value"),
            }
            for one in filters
        ],
        "extra_form_data": {},
    }
    if dataset.time_column:
        form["adhoc_filters"].insert(
            0,
            {
                "clause": "WHERE",
                "expressionType": "SIMPLE",
                "subject": dataset.time_column,
                "operator": "TEMPORAL_RANGE",
                "comparator": NO_LIMIT_OF_TIME,
            },
        )
    if isinstance(params, TimeseriesParams):
        own["annotation_layers"] = [
            {
                "name": one["name"],
                "annotationType": "FORMULA",
                "value": one["formula"],
                "style": "dashed",
                "color": "#444444",
                "opacity": "",
                "width": 1,
                "show": True,
                "showLabel": False,
                "showMarkers": False,
                "hideLine": False,
            }
            for one in own.pop("annotation")
        ]
        own["x_axis_sort_asc"] = True
        if not own.pop("y_axis_from_zero"):
            own["echart_options"] = NOT_FROM_ZERO
        form |= _LINES
    elif isinstance(params, MixedParams):
        form |= _MIXED
    elif isinstance(params, HeatmapParams):
        form |= {"legend_type": "continuous", "normalize_across": "heatmap", "xscale_interval": -1}
        form |= {"yscale_interval": -1, "left_margin": "auto", "bottom_margin": 50}
        form |= {"show_legend": True, "border_color": {"r": 255, "g": 255, "b": 255, "a": 1}}
        form |= {"border_width": 1}
    elif isinstance(params, TableParams):
        raw = bool(params.all_columns)
        form |= {"query_mode": "raw" if raw else "aggregate", "show_cell_bars": False}
        form |= {"include_search": False, "page_length": 0, "align_pn": True, "color_pn": False}
        ordered = [json.dumps([name, not params.order_desc]) for name in own.pop("order_by")]
        form |= {"order_by_cols": ordered} if raw else {}
    elif isinstance(params, BigNumberParams):
        form |= {"header_font_size": 0.4, "subtitle_font_size": 0.15}
    return form | own


_LINES = {
    "x_axis_sort_series": "name",
    "rich_tooltip": True,
    "showTooltipTotal": False,
    "tooltipTimeFormat": "%Y-%m-%d",
    "truncate_metric": True,
    "show_empty_columns": True,
    "legendType": "scroll",
    "legendOrientation": "top",
    "x_axis_title_margin": 30,
    "y_axis_title_margin": 50,
    "y_axis_title_position": "Left",
    "sort_series_type": "name",
    "sort_series_ascending": True,
    "connectNulls": False,
}
_MIXED = {
    "x_axis_title_margin": 30,
    "yAxisTitleMargin": 50,
    "y_axis_title_margin": 50,
    "y_axis_title_position": "Left",
    "yAxisIndex": 0,
    "yAxisIndexB": 1,
    "seriesType": "line",
    "seriesTypeB": "bar",
    "opacity": 0.2,
    "opacityB": 0.5,
    "markerEnabled": False,
    "show_legend": True,
    "legendType": "scroll",
    "legendOrientation": "top",
    "rich_tooltip": True,
    "tooltipTimeFormat": "%Y-%m-%d",
    "truncate_metric": True,
    "truncate_metric_b": True,
}


def _dashboard(bundle: Bundle, dashboard: Dashboard) -> dict[str, Any]:
    return {
        "version": VERSION,
        "uuid": str(dashboard.uuid),
        "dashboard_title": dashboard.dashboard_title,
        "description": dashboard.description,
        "slug": dashboard.slug,
        "published": dashboard.published,
        "css": "",
        "position": position(bundle, dashboard),
        "metadata": {
            "color_scheme": PALETTE,
            "label_colors": dashboard.label_colors,
            "shared_label_colors": [],
            "cross_filters_enabled": False,
            "refresh_frequency": 0,
            "timed_refresh_immune_slices": [],
            "expanded_slices": {},
            "native_filter_configuration": [
                native_filter(bundle, dashboard, one) for one in dashboard.filters
            ],
        },
    }


def main() -> None:
    """Print the files as JSON, path -> content: for an image built without a warehouse."""
    json.dump(files(load()), sys.stdout, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
