"""Volatility-scaled split conformal calibration, the same for every scale model.

The model is fitted on what was known 104 weeks ago; how far the weekly returns since then fell
from its location, in units of its scale, gives the shape of the interval; then the model is fitted
again on everything matured. Split conformal: Lei et al. (2018), scaled residuals; one pool = one
asset class, so a panel of one pool comes in.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import (
    Candidate,
    Distribution,
    Params,
    ScaleModel,
    settle,
)
from stock_platform.ml.candidates.random_walk import ROOT_TIME
from stock_platform.ml.features import Arrays, Floats, H, Mask, Panel
from stock_platform.ml.quantiles import GAUSSIAN, PROBABILITIES

CALIBRATION_WEEKS = 104
MIN_CALIBRATION_WEEKS = 52
"""With fewer matured weeks the shape stays Gaussian: too few for a 2.5 % tail."""
CENTRE_WEEKS = 260
"""Weeks of history at which the pooled median counts half."""
CENTRE_ROWS = 20_000
"""About how many scores that median is taken of."""


class Calibrated(Candidate):
    """A candidate: a scale model with conformal quantiles."""

    def __init__(self, model: ScaleModel) -> None:
        self.model = model
        self.name = model.name
        self.params: Params = {
            **model.params,
            "calibration_weeks": CALIBRATION_WEEKS,
            "min_calibration_weeks": MIN_CALIBRATION_WEEKS,
            "centre_weeks": CENTRE_WEEKS,
            "centre_rows": CENTRE_ROWS,
        }

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        boundary = as_of - timedelta(weeks=CALIBRATION_WEEKS)
        held_out = panel.origins & (panel.sessions > np.datetime64(boundary, "D"))
        early, final = (panel.once(self.model, day) for day in (boundary, as_of))
        weeks = len(panel.weeks_of(held_out & panel.matured(as_of)))
        shape = np.tile(GAUSSIAN, (H, 1))
        if weeks >= MIN_CALIBRATION_WEEKS:
            centre = self._centre(final, panel, as_of)
            scores = self._scores(early, panel, as_of, held_out)
            shape = np.stack([conformal(scores[:, h], centre[h]) for h in range(H)])
        return {**final, "shape": settle(shape), "calibrated_on_weeks": np.array([float(weeks)])}

    @override
    def predict(self, arrays: Arrays, rows: Panel) -> Distribution:
        location, scale = self.model.location_scale(arrays, rows)
        return Distribution(location[:, :, None] + scale[:, :, None] * arrays["shape"])

    def _scores(self, arrays: Arrays, panel: Panel, as_of: date, mask: Mask) -> Floats:
        """Returns in units of the forecast scale (m, 5); NaN where a label has not matured."""
        mask = mask & panel.usable
        location, scale = self.model.location_scale(arrays, panel.rows(mask))
        return (panel.labels_of(mask, as_of) - location) / scale

    def _centre(self, arrays: Arrays, panel: Panel, as_of: date) -> Floats:
        """Drift (5,) in units of scale: median score of all weeks, shrunk when they are few."""
        mask = panel.origins & panel.matured(as_of)
        weeks = len(panel.weeks_of(mask))
        # Of every week some instruments, others the next: they share the market of their week.
        share = max(1, -(-int(mask.sum()) // CENTRE_ROWS))
        mask &= (panel.frame["turn"].to_numpy() + panel.week_numbers) % share == 0
        median = float(np.median(self._scores(arrays, panel, as_of, mask)[:, H - 1]))
        shrunk = median * weeks / (weeks + CENTRE_WEEKS)
        return np.asarray(shrunk * ROOT_TIME / ROOT_TIME[-1])


def conformal(scores: Floats, centre: float) -> Floats:
    """Quantiles (21,) around `centre`, symmetric, from absolute scores (m,), NaN ignored.

    Symmetry doubles the sample of each tail. Levels carry the finite-sample factor (m + 1) / m.
    """
    distance = np.abs(scores[np.isfinite(scores)] - centre)
    levels = np.abs(2 * PROBABILITIES - 1)
    levels = np.minimum(levels * (len(distance) + 1) / len(distance), 1.0)
    return np.asarray(centre + np.sign(PROBABILITIES - 0.5) * np.quantile(distance, levels))
