"""Database, datasets and dashboards as they are written in YAML; charts are in `charts.py`."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, model_validator

from stock_platform.superset.charts import Strict, Text

Described = Annotated[str, Field(min_length=20)]
GRID = 12
"""Columns of a dashboard."""


class Metadata(Strict):
    """Superset's own head of a folder of assets."""

    type: Literal["assets"]
    version: Literal["1.0.0"]


class Database(Strict):
    """The warehouse. Address and password are not here: superset_config.py puts them in."""

    uuid: UUID
    database_name: Text
    sqlalchemy_uri: Text
    cache_timeout: Annotated[int, Field(gt=0)]
    expose_in_sqllab: bool


class Metric(Strict):
    """An aggregate that charts name. `unit` ends its description."""

    expression: Text
    label: Text | None = None
    description: Annotated[str, Field(min_length=5)]
    unit: Text
    d3format: str | None = None


class Dataset(Strict):
    """A table of the warehouse; its file has the name of the dbt model that makes it.

    Types and descriptions of the columns are the model's contract; here stand only their names.
    """

    uuid: UUID
    time_column: Text | None = None
    columns: Annotated[list[Text], Field(min_length=1)]
    labels: dict[Text, Text] = Field(default={})
    metrics: dict[Text, Metric] = Field(default={})


class Filter(Strict):
    """A native filter: `dataset` gives the values, charts with `column` are in scope.

    A filter without a column is of dates and reaches every chart with a time column.
    """

    name: Text
    description: Described
    type: Literal["value", "date"] = "value"
    dataset: Text | None = None
    column: Text | None = None
    multiple: bool = True
    required: bool = False
    default_to_first: bool = False
    default: list[str] = Field(default=[])
    excluded: list[Text] = Field(default=[])
    """Charts that the filter leaves alone although they have its column."""

    @model_validator(mode="after")
    def _complete(self) -> Filter:
        named = self.dataset is not None and self.column is not None
        if named == (self.type == "date"):
            raise ValueError("a filter of values names dataset and column, one of dates neither")
        return self


class Cell(Strict):
    """A chart, or a text in Markdown, in a row of a dashboard."""

    chart: Text | None = None
    markdown: Text | None = None
    width: Annotated[int, Field(ge=1, le=GRID)]

    @model_validator(mode="after")
    def _one(self) -> Cell:
        if (self.chart is None) == (self.markdown is None):
            raise ValueError("a cell is either a chart or markdown")
        return self


class Row(Strict):
    """Cells side by side; `height` in units of 8 pixels."""

    height: Annotated[int, Field(ge=4, le=200)]
    cells: Annotated[list[Cell], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Row:
        total = sum(cell.width for cell in self.cells)
        if total > GRID:
            raise ValueError(f"cells are {total} wide, a row has {GRID}")
        return self


class Dashboard(Strict):
    """A page."""

    uuid: UUID
    dashboard_title: Text
    description: Described
    slug: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    published: bool
    filters: list[Filter] = Field(default=[])
    rows: Annotated[list[Row], Field(min_length=1)]
    label_colors: dict[str, str] = Field(default={})

    def charts(self) -> list[str]:
        """Names of its charts, in order."""
        return [cell.chart for row in self.rows for cell in row.cells if cell.chart]


def missing_uuid(kind: str, name: str) -> str:
    """The id a new file may take, so that nobody has to invent one."""
    from uuid import NAMESPACE_URL, uuid5

    return str(uuid5(NAMESPACE_URL, f"stock-platform/superset/{kind}/{name}"))


def plain(model: Strict) -> dict[str, Any]:
    """A model's fields under the names Superset knows, without those that are not set."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
