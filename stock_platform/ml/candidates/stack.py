"""The wide linear stack: every feature of ml/weekly, pooled and two-level (weekly/scale.py)."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import (
    NotEnoughHistoryError,
    Params,
    ScaleModel,
    settle,
)
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import Arrays, Floats, Panel
from stock_platform.ml.weekly.models import ROWS_PER_FEATURE
from stock_platform.ml.weekly.scale import BETWEEN_RIDGE, RIDGE, ScaleFit

DIGITS = 6
"""Of a parameter: equations of 120 nearly alike features keep no more on another machine."""


class Stack(ScaleModel):
    """Scale from the wide model's regressions, fitted on weekly origins."""

    name = "stack"
    params: Params = MappingProxyType({"penalty": RIDGE, "between_penalty": BETWEEN_RIDGE})

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        if panel.wide is None:
            raise NotEnoughHistoryError(
                "the panel came without bars, of which the stack's features are made"
            )
        moments = panel.wide.moments(as_of)
        needed = ROWS_PER_FEATURE * len(panel.wide.names)
        if moments.rows < needed:
            raise NotEnoughHistoryError(
                f"{moments.rows} rows to train {len(panel.wide.names)} features on by {as_of}, "
                f"{needed} needed"
            )
        fit = moments.fit()
        return {
            "centre": settle(fit.centre, DIGITS),
            "level": settle([fit.level], DIGITS),
            "slope": settle(fit.slope, DIGITS),
            "within": settle(fit.within, DIGITS),
            "between_level": settle([fit.between_level], DIGITS),
            "between": settle(fit.between, DIGITS),
        }

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        fit = ScaleFit(
            arrays["centre"],
            float(arrays["level"][0]),
            arrays["slope"],
            arrays["within"],
            float(arrays["between_level"][0]),
            arrays["between"],
        )
        wide, place = rows.wide, rows.wide_rows
        if wide is None:
            raise PlatformError("the stack reads features of the bars, and the rows came without")
        # An instrument that lacks a tenth of a year's sessions has no features: its own EWMA.
        daily = rows.feature("feature_ewma_vol")
        found = place >= 0
        if found.any():
            at = place[found]
            x = wide.x[at].astype(np.float64)
            daily[found] = np.exp(fit.log_volatility(x, wide.mean[wide.week[at]]))
        return from_daily(daily)
