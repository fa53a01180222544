"""The grid of quantiles every forecast is written on, and what follows from it.

Scores that need the outcome live in metrics.py.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from stock_platform.ml.features import Floats

PROBABILITIES: Floats = np.array([0.025, *(p / 100 for p in range(5, 100, 5)), 0.975])
"""Probabilities (21,) of the quantiles."""
Q = len(PROBABILITIES)
COLUMN_NAMES = ["q025", *(f"q{p:02d}" for p in range(5, 100, 5)), "q975"]
MEDIAN = COLUMN_NAMES.index("q50")
GAUSSIAN: Floats = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])

TAIL = 1.193
"""Mean of a Gaussian's outer 2.5 % over its 2.5 % quantile (2.338 / 1.960)."""


def probability_of_rise(quantiles: Floats) -> Floats:
    """P(return > 0) (...), by linear interpolation of quantiles (..., 21) of the log return.

    Kept within 0.025..0.975: the grid says nothing beyond its ends.
    """
    upper = np.clip((quantiles <= 0).sum(axis=-1), 1, Q - 1)[..., None]
    high = np.take_along_axis(quantiles, upper, axis=-1)[..., 0]
    low = np.take_along_axis(quantiles, upper - 1, axis=-1)[..., 0]
    upper = upper[..., 0]
    width = np.where(high > low, high - low, 1.0)
    share = np.clip(-low / width, 0.0, 1.0)
    below = PROBABILITIES[upper - 1] + share * (PROBABILITIES[upper] - PROBABILITIES[upper - 1])
    return np.asarray(1.0 - below)


def mean_ratio(quantiles: Floats) -> Floats:
    """Expected price over origin price (...): exp of the quantiles integrated over probability.

    Trapezoids inside the grid; each outer 2.5 % counts at TAIL times its quantile's distance from
    the median.
    """
    ratio = np.exp(quantiles)
    inner = np.sum((ratio[..., 1:] + ratio[..., :-1]) / 2 * np.diff(PROBABILITIES), axis=-1)
    centre = quantiles[..., MEDIAN, None]
    tails = np.exp(centre + TAIL * (quantiles[..., [0, -1]] - centre))
    return np.asarray(inner + PROBABILITIES[0] * tails.sum(axis=-1))
