"""Exponentially weighted volatility (RiskMetrics 1996, decay 0.94) for calibration."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

from typing_extensions import override

from stock_platform.ml.candidates.base import Params, ScaleModel
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import Arrays, Floats, Panel


class Ewma(ScaleModel):
    """Scale = the EWMA volatility at the origin; its decay is set where the feature is made."""

    name = "ewma"
    params: Params = MappingProxyType({"decay": 0.94})

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        return {}

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        return from_daily(rows.feature("feature_ewma_vol"))
