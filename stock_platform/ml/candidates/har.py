"""Heterogeneous autoregression (Corsi 2009) of log volatility on returns and daily ranges.

The scale of `linear` without its mean: what is forecast is how wide the week will be.
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Params, ScaleModel, settle
from stock_platform.ml.candidates.linear import (
    MAX_ROWS,
    log_volatility_target,
    ridge,
    thinned,
    training_rows,
)
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import VOLATILITIES, Arrays, Floats, Panel, design_matrix


class Har(ScaleModel):
    """Ridge regression on the log volatilities of all windows and estimators."""

    name = "har"
    params: Params = MappingProxyType({"penalty": 0.0001, "max_rows": MAX_ROWS})

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        mask = thinned(panel, training_rows(panel, as_of), int(self.params["max_rows"]))
        x = _volatilities(panel.rows(mask))
        y = log_volatility_target(panel, as_of, mask)
        centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
        slope = ridge((x - centre) / spread, y - y.mean(), float(self.params["penalty"]))
        return {
            "centre": settle(centre),
            "level": settle([y.mean()]),
            "slope": settle(slope / spread),
        }

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        x = _volatilities(rows) - arrays["centre"]
        return from_daily(np.exp(arrays["level"] + x @ arrays["slope"]))


def _volatilities(panel: Panel) -> Floats:
    return design_matrix(panel)[:, : len(VOLATILITIES)]
