"""Linear regression: a HAR-style regression of log volatility, and a heavily shrunk mean.

HAR: Corsi (2009), with range estimators (Garman-Klass, Parkinson) among the regressors. The mean is
shrunk because on real panels skill comes from the scale (forecast-quality.md, "Point forecast").
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import (
    NotEnoughHistoryError,
    Params,
    ScaleModel,
    settle,
)
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import (
    HORIZONS,
    Arrays,
    Floats,
    H,
    Mask,
    Panel,
    design_matrix,
    realised_volatility,
    scale_floor,
)

MIN_TRAINING_WEEKS = 104
MIN_DATES = 250
"""Sessions that a fit keeps at least: rows of one session share its market."""
MAX_ROWS = 200_000
"""Rows a regression is fitted on; sessions in between repeat most of a label of five sessions."""


def training_rows(panel: Panel, as_of: date) -> Mask:
    """Rows (n,) whose five labels have matured by `as_of`.

    Raises:
        NotEnoughHistoryError: they span less than MIN_TRAINING_WEEKS weeks.
    """
    mask = panel.trainable(as_of)
    weeks = len(panel.weeks_of(mask))
    if weeks < MIN_TRAINING_WEEKS:
        raise NotEnoughHistoryError(
            f"{weeks} weeks to train on by {as_of}, {MIN_TRAINING_WEEKS} needed"
        )
    return mask


def thinned(panel: Panel, mask: Mask, max_rows: int) -> Mask:
    """About `max_rows` rows of `mask`: sessions at even distances, and if those would be too few to
    tell weeks apart, some instruments of each session, others on the next."""
    numbers = panel.frame["session_number"].to_numpy()
    rows, dates = int(mask.sum()), len(np.flatnonzero(np.bincount(numbers[mask])))
    step = min(-(-rows // max_rows), max(dates // MIN_DATES, 1))
    kept = mask & (numbers % step == 0)
    share = max(1, -(-int(kept.sum()) // max_rows))
    # Not the instrument's place in the panel, which changes with every listing.
    chosen = kept & ((panel.frame["turn"].to_numpy() + numbers // step) % share == 0)
    return np.asarray(chosen if chosen.any() else kept)


def log_volatility_target(panel: Panel, as_of: date, mask: Mask) -> Floats:
    """Log (m,) of the next five sessions' realised daily volatility on the rows of `mask`."""
    volatility = realised_volatility(panel.labels_of(mask, as_of))
    return np.asarray(np.log(np.maximum(volatility, scale_floor(panel)[mask])))


def ridge(x: Floats, y: Floats, penalty: float) -> Floats:
    """Coefficients (k,) of standardised regressors x (n, k) on centred y; Hoerl, Kennard (1970)."""
    gram = x.T @ x / len(x) + penalty * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ y / len(x)))


class Linear(ScaleModel):
    """Ridge regressions of log volatility (scale) and of the standardised return (location)."""

    name = "linear"
    params: Params = MappingProxyType(
        {
            "penalty": 0.001,
            "location_shrinkage": 0.1,
            "location_cap": 0.25,
            "max_rows": MAX_ROWS,
        }
    )

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        mask = thinned(panel, training_rows(panel, as_of), int(self.params["max_rows"]))
        x = design_matrix(panel.rows(mask))
        y = log_volatility_target(panel, as_of, mask)
        centre, spread = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
        standard = (x - centre) / spread
        penalty = float(self.params["penalty"])
        slope = ridge(standard, y - y.mean(), penalty)
        predicted = np.exp(y.mean() + standard @ slope)
        surprise = np.clip(panel.labels_of(mask, as_of)[:, H - 1] / (predicted * np.sqrt(H)), -4, 4)
        tilt = ridge(standard, surprise - surprise.mean(), penalty)
        return {
            "centre": settle(centre),
            "spread": settle(spread),
            "level": settle([y.mean()]),
            "slope": settle(slope),
            "tilt": settle(tilt),
        }

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        standard = (design_matrix(rows) - arrays["centre"]) / arrays["spread"]
        _, scale = from_daily(np.exp(arrays["level"] + standard @ arrays["slope"]))
        cap = float(self.params["location_cap"])
        tilt = float(self.params["location_shrinkage"]) * (standard @ arrays["tilt"])
        week = np.clip(tilt, -cap, cap) * scale[:, H - 1]
        return week[:, None] * np.array(HORIZONS) / H, scale
