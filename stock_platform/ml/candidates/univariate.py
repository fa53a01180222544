"""Exponential smoothing of an instrument's own volatility, with a season of the week.

Each instrument by itself: from the log volatilities of its last two years the mean of each day of
the week, shrunk towards that of all, is taken away; what is left is smoothed (Brown 1956) with the
decay that would have forecast it best (statsforecast). An extra: `univariate`.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import (
    NotEnoughHistoryError,
    Params,
    ScaleModel,
    settle,
)
from stock_platform.ml.features import Arrays, Floats, H, Panel
from stock_platform.ml.history import DAYS, WINDOW, Slots

SHORTEST = 20 * DAYS
"""Fewer tell no decay."""
DIGITS = 6
"""Of a forecast: what an optimiser finds keeps no more on another machine."""


class Univariate(ScaleModel):
    """Scale from the sum of the daily variances forecast for the sessions ahead; location zero."""

    name = "univariate"

    def __init__(self) -> None:
        # The library forecasts, not only fits: another version is another model.
        self.params: Params = {
            "season": DAYS,
            "window": WINDOW,
            "statsforecast": version("statsforecast"),
        }

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        if panel.history is None:
            raise NotEnoughHistoryError("the panel came without the past of its rows")
        return {}

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        if rows.history is None:
            raise PlatformError("univariate reads a row's past, and the rows came without")
        series = rows.history.by_instrument
        names = rows.frame["instrument_id"]
        usual = np.log(rows.feature("feature_ewma_vol"))
        ahead = np.empty((len(rows), H))
        for row, (name, session) in enumerate(zip(names, rows.sessions, strict=True)):
            own = series.get(name)
            if own is None or (place := own.place(session)) + 1 < SHORTEST:
                ahead[row] = usual[row]  # it stood still for long: there is no past to smooth
            else:
                ahead[row] = self._ahead(own, place)
        scale = np.sqrt(np.cumsum(np.exp(2 * ahead), axis=1))
        return np.zeros_like(scale), scale

    def _ahead(self, own: Slots, place: int) -> Floats:
        """Log daily volatility (5,) of the slots after `place`."""
        key = (self.name, place)
        if key not in own.kept:
            past = own.until(place, WINDOW)
            days = np.arange(place + 1 - len(past), place + 1 + H) % DAYS
            season = seasonal(past, days[:-H])
            level = self._smoothing.forecast(y=past - season[days[:-H]], h=H)["mean"]
            own.kept[key] = settle(level + season[days[-H:]], DIGITS)
        return own.kept[key]

    @cached_property
    def _smoothing(self) -> Any:
        from statsforecast.models import SimpleExponentialSmoothingOptimized

        return SimpleExponentialSmoothingOptimized()


def seasonal(values: Floats, days: npt.NDArray[np.int64]) -> Floats:
    """How far (5,) each day of the week lies from the mean of `values` (n,), shrunk towards none.

    James and Stein (1961), around the common mean as in Efron and Morris (1973).
    """
    count = np.bincount(days, minlength=DAYS)
    away = np.bincount(days, values, minlength=DAYS) / count - values.mean()
    noise = float(np.var(values - away[days])) / float(count.mean())
    total = float(away @ away)
    return np.asarray(away * max(0.0, 1 - (DAYS - 3) * noise / total)) if total > 0 else away
