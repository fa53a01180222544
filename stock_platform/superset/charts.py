"""Charts as they are written in YAML: one class per type of chart, an unknown field is an error.

Field names are Superset's own in snake_case, so that what its editor shows can be written here.
Only what charts of this project set is known; everything else has one value for all (`compile.py`).
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0)]
Grain = Literal["P1D", "P1W", "P1M", "P3M", "P1Y"]
Adhoc = Literal["==", "!=", ">", "<", ">=", "<=", "IN", "NOT IN", "IS NULL", "IS NOT NULL"]


class Strict(BaseModel):
    """Refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RowFilter(Strict):
    """A condition that a chart always has: rows of `column` that fulfil it."""

    column: Text
    operator: Adhoc
    value: str | int | float | list[str] | None = None


class Params(Strict):
    """What every chart may set. `columns` and `metric_names` are what it takes from its dataset."""

    row_filters: list[RowFilter] = []
    row_limit: Positive = 10_000
    color_scheme: str | None = None

    def columns(self) -> dict[str, list[str]]:
        """Field -> names of columns that it holds."""
        return {"row_filters": [one.column for one in self.row_filters]}

    def metric_names(self) -> dict[str, list[str]]:
        """Field -> names of metrics that it holds."""
        return {}


class BigNumberParams(Params):
    """One figure."""

    metric: Text
    subtitle: str = ""
    y_axis_format: str | None = None
    time_format: str | None = None
    force_timestamp_formatting: bool = False

    def metric_names(self) -> dict[str, list[str]]:
        """The figure's metric."""
        return {"metric": [self.metric]}


class Reference(Strict):
    """A line across a chart to compare with: a formula of x, such as `0.8`."""

    name: Text
    formula: Text


class TimeseriesParams(Params):
    """Lines or bars over an axis that may be of dates or of anything else."""

    x_axis: Text
    metrics: Annotated[list[Text], Field(min_length=1)]
    groupby: list[Text] = []
    time_grain_sqla: Grain | None = None
    limit: Positive | None = None
    timeseries_limit_metric: Text | None = None
    x_axis_title: str = ""
    y_axis_title: str = ""
    y_axis_format: str | None = None
    y_axis_bounds: list[float | None] | None = None
    x_axis_time_format: str | None = None
    x_axis_number_format: str | None = None
    y_axis_from_zero: bool = True
    """False: the axis begins near the lowest value."""
    truncate_x_axis: bool = Field(default=True, serialization_alias="truncateXAxis")
    x_axis_force_categorical: bool = Field(
        default=False, serialization_alias="xAxisForceCategorical"
    )
    marker_enabled: bool = Field(default=False, serialization_alias="markerEnabled")
    marker_size: Positive = Field(default=6, serialization_alias="markerSize")
    log_axis: bool = Field(default=False, serialization_alias="logAxis")
    show_value: bool = False
    stack: Literal["Stack", "Stream", "Expand"] | None = None
    orientation: Literal["vertical", "horizontal"] = "vertical"
    show_legend: bool = True
    annotation: list[Reference] = []

    def columns(self) -> dict[str, list[str]]:
        """Axis and groups beside those of every chart."""
        return super().columns() | {"x_axis": [self.x_axis], "groupby": list(self.groupby)}

    def metric_names(self) -> dict[str, list[str]]:
        """What is drawn, and what chooses."""
        return {
            "metrics": list(self.metrics),
            "timeseries_limit_metric": _given(self.timeseries_limit_metric),
        }


class MixedParams(Params):
    """Two kinds of series over one axis: lines on the left, bars on the right."""

    x_axis: Text
    metrics: Annotated[list[Text], Field(min_length=1)]
    metrics_b: Annotated[list[Text], Field(min_length=1)]
    groupby: list[Text] = []
    groupby_b: list[Text] = []
    time_grain_sqla: Grain | None = None
    limit: Positive | None = None
    timeseries_limit_metric: Text | None = None
    y_axis_title: str = Field(default="", serialization_alias="yAxisTitle")
    y_axis_title_secondary: str = Field(default="", serialization_alias="yAxisTitleSecondary")
    y_axis_format: str | None = None
    y_axis_format_secondary: str | None = None
    x_axis_time_format: str | None = None
    log_axis: bool = Field(default=False, serialization_alias="logAxis")

    def columns(self) -> dict[str, list[str]]:
        """Axis and groups beside those of every chart."""
        return super().columns() | {
            "x_axis": [self.x_axis],
            "groupby": list(self.groupby),
            "groupby_b": list(self.groupby_b),
        }

    def metric_names(self) -> dict[str, list[str]]:
        """What is drawn, and what chooses."""
        return {
            "metrics": list(self.metrics),
            "metrics_b": list(self.metrics_b),
            "timeseries_limit_metric": _given(self.timeseries_limit_metric),
        }


class HeatmapParams(Params):
    """Colour over two axes."""

    x_axis: Text
    groupby: Text
    metric: Text
    time_grain_sqla: Grain | None = None
    linear_color_scheme: str = "blues"
    value_bounds: list[float | None] = [None, None]
    y_axis_format: str | None = None
    x_axis_time_format: str | None = None
    show_values: bool = True
    show_percentage: bool = False
    sort_x_axis: str = "alpha_asc"
    sort_y_axis: str = "alpha_desc"

    def columns(self) -> dict[str, list[str]]:
        """Both axes beside those of every chart."""
        return super().columns() | {"x_axis": [self.x_axis], "groupby": [self.groupby]}

    def metric_names(self) -> dict[str, list[str]]:
        """The colour's metric."""
        return {"metric": [self.metric]}


class ColumnLook(Strict):
    """How a column of a table is shown."""

    d3_number_format: str | None = Field(default=None, serialization_alias="d3NumberFormat")
    d3_time_format: str | None = Field(default=None, serialization_alias="d3TimeFormat")
    column_width: Positive | None = Field(default=None, serialization_alias="columnWidth")
    show_cell_bars: bool = Field(default=False, serialization_alias="showCellBars")


class TableParams(Params):
    """Rows: those of the dataset (`all_columns`), or groups with metrics."""

    all_columns: list[Text] = []
    groupby: list[Text] = []
    metrics: list[Text] = []
    order_by: list[Text] = []
    order_desc: bool = True
    column_config: dict[Text, ColumnLook] = {}
    table_timestamp_format: str = "%Y-%m-%d"

    def columns(self) -> dict[str, list[str]]:
        """All of them; an order or a look may also be a metric's."""
        known = set(self.metrics)
        return super().columns() | {
            "all_columns": list(self.all_columns),
            "groupby": list(self.groupby),
            "order_by": [name for name in self.order_by if name not in known],
            "column_config": [name for name in self.column_config if name not in known],
        }

    def metric_names(self) -> dict[str, list[str]]:
        """What is shown."""
        return {"metrics": list(self.metrics)}


class Chart(Strict):
    """What every chart's file holds; `dataset` is the name of the dataset's file."""

    uuid: UUID
    slice_name: Annotated[str, Field(min_length=5, max_length=250)]
    description: Annotated[str, Field(min_length=20)]
    dataset: Text
    cache_timeout: Positive | None = None
    viz_type: str
    params: Params


class BigNumber(Chart):
    """A figure of the row on top of a dashboard."""

    viz_type: Literal["big_number_total"]
    params: BigNumberParams


class Timeseries(Chart):
    """Lines or bars."""

    viz_type: Literal["echarts_timeseries_line", "echarts_timeseries_bar"]
    params: TimeseriesParams


class Mixed(Chart):
    """Lines and bars with an axis each."""

    viz_type: Literal["mixed_timeseries"]
    params: MixedParams


class Heatmap(Chart):
    """Colour over two axes."""

    viz_type: Literal["heatmap_v2"]
    params: HeatmapParams


class Table(Chart):
    """Rows and columns."""

    viz_type: Literal["table"]
    params: TableParams


TYPES: dict[str, type[Chart]] = {
    "big_number_total": BigNumber,
    "echarts_timeseries_line": Timeseries,
    "echarts_timeseries_bar": Timeseries,
    "mixed_timeseries": Mixed,
    "heatmap_v2": Heatmap,
    "table": Table,
}
"""`viz_type` -> the class that reads it."""


def _given(name: str | None) -> list[str]:
    return [name] if name else []
