"""Quantiles from a scale, calibrated week by week on the model's own past errors.

Split conformal with residuals scaled by the forecast volatility (Lei et al. 2018), pooled over the
instruments of the panel and adapted over time: the *shape* of the errors from ten years, their
centre from all history, and their size from the last year.
"""

from __future__ import annotations

import numpy as np

from stock_platform.ml.quantiles import MEDIAN, PROBABILITIES
from stock_platform.ml.weekly.bars import Floats
from stock_platform.ml.weekly.features import Weekly

SHAPE_WEEKS = 520
SIZE_WEEKS = 52
CENTRE_WEEKS = 260
"""Weeks of history at which the pooled median counts half: a drift needs years to be seen."""
MIN_WEEKS, MIN_ERRORS = 26, 200
"""With fewer matured weeks, or errors in them, there is no calibration, and no forecast."""
LARGEST = 12.0
WIDTH = 0.01
"""Errors are counted in bins of this width up to LARGEST on either side."""
BINS = round(2 * LARGEST / WIDTH)
MIDDLES: Floats = np.asarray((np.arange(BINS) + 0.5) * WIDTH - LARGEST, dtype=np.float64)


def weekly_shapes(weekly: Weekly, scale: Floats, first: int) -> Floats:
    """Quantiles (W, 21) of the log return in units of its forecast scale, week by week.

    `scale` (W, N) is the forecast standard deviation of the log return to the horizon, NaN where
    there is none. The shape of a week rests on targets matured by its origin. NaN before `first`
    and while there are too few errors.
    """
    errors = weekly.returns / scale
    counts = np.zeros((weekly.weeks + 1, BINS))
    for week, row in enumerate(errors):
        known = row[np.isfinite(row)]
        place = np.clip(((known + LARGEST) / WIDTH).astype(np.int64), 0, BINS - 1)
        counts[week + 1] = np.bincount(place, minlength=BINS)
    has_errors = np.cumsum(counts.any(axis=1))
    np.cumsum(counts, axis=0, out=counts)
    shapes = np.full((weekly.weeks, len(PROBABILITIES)), np.nan)
    for week in range(first, weekly.weeks):
        end = weekly.matured(week)
        if has_errors[end] < MIN_WEEKS or counts[end].sum() < MIN_ERRORS:
            continue
        long = counts[end] - counts[max(0, end - SHAPE_WEEKS)]
        short = counts[end] - counts[max(0, end - SIZE_WEEKS)]
        if not short.any():
            continue
        shape = quantiles_of(long, PROBABILITIES)
        size = mean_size(short) / mean_size(long)
        weeks = has_errors[end]
        centre = quantiles_of(counts[end], np.array([0.5])) * weeks / (weeks + CENTRE_WEEKS)
        shapes[week] = centre + (shape - shape[MEDIAN]) * size
    return shapes


def quantiles_of(counts: Floats, probabilities: Floats) -> Floats:
    """Quantiles of binned errors, evenly spread inside each bin."""
    upto = np.concatenate([[0.0], np.cumsum(counts)])
    wanted = probabilities * upto[-1]
    place = np.clip(np.searchsorted(upto, wanted, side="left"), 1, BINS)
    share = (wanted - upto[place - 1]) / np.maximum(upto[place] - upto[place - 1], 1e-9)
    return np.asarray((place - 1 + share) * WIDTH - LARGEST)


def mean_size(counts: Floats) -> float:
    """Mean absolute error of binned errors."""
    return float(counts @ np.abs(MIDDLES) / counts.sum())
