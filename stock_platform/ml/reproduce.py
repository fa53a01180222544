"""G3: rebuild a published forecast from its ledger row and say whether it matches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.champion import ModelRef
from stock_platform.ml.code_digest import code_digest
from stock_platform.ml.issue import Issue, forecast_rows
from stock_platform.ml.ledger import FORECASTS, read, select_list
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.registry import Registry

EXACT = ["forecast_id", "input_digest", "target_session", "currency", "origin_price"]
NUMBERS = [*COLUMN_NAMES, "mean", "p_up"]
TOLERANCE = 1e-9
"""Relative; other machines may differ in the last bits of exp and log."""


@dataclass(frozen=True)
class Reproduction:
    """Where a row and what was rebuilt of it differ (column -> [published, rebuilt])."""

    forecast_id: str
    differences: dict[str, list[Any]] = field(default_factory=dict)
    same_code: bool = True

    @property
    def matches(self) -> bool:
        """Whether every identity and number is as published."""
        return not self.differences


def find_forecast(client: Any, forecast_id: str) -> dict[str, Any]:
    """The ledger row with this id, or with this beginning of an id (at least 8 characters).

    Raises:
        PlatformError: none or several.
    """
    frame = read(
        client,
        f"SELECT {select_list(FORECASTS)} FROM market.forecasts "  # noqa: S608
        "WHERE startsWith(forecast_id, {id:String}) LIMIT 2",
        FORECASTS,
        id=forecast_id,
    )
    if frame.height != 1 or len(forecast_id) < 8:
        found = "no row" if frame.is_empty() else "more than one row"
        raise PlatformError(
            f"{found} of the ledger has forecast_id {forecast_id!r}: take one from the column "
            "`forecast_id` of market.forecasts"
        )
    return frame.row(0, named=True)


def reproduce(
    registry: Registry,
    reader: PanelReader,
    row: dict[str, Any],
) -> Reproduction:
    """Rebuild `row` (from `find_forecast`) from the lake's data as of its clock and its model.

    The reader must read by the row's `as_of_clock`.

    Raises:
        PlatformError: the origin's bar is no longer there as of then, or the model is lost.
    """
    panel = reader.read(row["as_of"])
    rows = panel.where(
        (pl.col("instrument_id") == row["instrument_id"])
        & (pl.col("session") == row["origin_session"])
    )
    if len(rows) != 1:
        raise PlatformError(
            f"{row['instrument_id']} has no bar on {row['origin_session']} as of {row['as_of']}: "
            "build the marts from the whole lake first"
        )
    model = ModelRef(row["model_name"], row["model_version"], row["model_digest"])
    issue = Issue(
        row["source"],
        row["kind"],
        row["as_of"],
        row["as_of_clock"],
        row["issued_at"],
        row["lake_snapshot_ids"],
    )
    distribution = registry.load(model).predict(rows)
    made = forecast_rows(rows, distribution, model, row["role"], issue=issue, weeks=reader.weeks)
    rebuilt = made.filter(pl.col("horizon") == row["horizon"]).row(0, named=True)
    differences = {name: [row[name], rebuilt[name]] for name in EXACT if row[name] != rebuilt[name]}
    for name in NUMBERS:
        if not np.isclose(row[name], rebuilt[name], rtol=TOLERANCE, atol=0):
            differences[name] = [row[name], rebuilt[name]]
    return Reproduction(row["forecast_id"], differences, row["code_digest"] == code_digest())
