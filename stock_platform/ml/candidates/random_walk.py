"""Random walk: no drift, the volatility of the last 250 sessions, growing with the root of time.

Uncalibrated and Gaussian it is the baseline of every skill number (forecast-quality.md); its scale
alone, calibrated, is the champion while nothing beats it.
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Candidate, Distribution, Params, ScaleModel
from stock_platform.ml.features import HORIZONS, Arrays, Floats, Panel
from stock_platform.ml.quantiles import GAUSSIAN

ROOT_TIME: Floats = np.sqrt(np.array(HORIZONS, dtype=np.float64))


def from_daily(volatility: Floats) -> tuple[Floats, Floats]:
    """Zero location and scale (n, 5) of a walk with this daily volatility (n,)."""
    scale = volatility[:, None] * ROOT_TIME
    return np.zeros_like(scale), scale


class RandomWalk(Candidate):
    """The baseline. Nothing is fitted."""

    name = "random_walk"
    params: Params = MappingProxyType({"volatility_sessions": 250})

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        return {}

    @override
    def predict(self, arrays: Arrays, rows: Panel) -> Distribution:
        _, scale = from_daily(rows.feature("feature_vol_250"))
        return Distribution(scale[:, :, None] * GAUSSIAN)


class RandomWalkScale(ScaleModel):
    """The same scale, for calibration."""

    name = "random_walk_calibrated"
    params: Params = MappingProxyType({"volatility_sessions": 250})

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        return {}

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        return from_daily(rows.feature("feature_vol_250"))
