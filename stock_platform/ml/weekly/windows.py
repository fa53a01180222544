"""Means over trailing windows, NaN left out, at chosen rows.

Sums run from the first row on, one row after the other, so that a longer panel changes no bit of
what came before (guarantee G4).
"""

from __future__ import annotations

import numpy as np

from stock_platform.ml.weekly.bars import Floats, Rows

ENOUGH = 0.5
"""Share of a window that must have values."""


class Sums:
    """Running sums of values (T, N), to be asked for means at the rows `at` (W,)."""

    def __init__(self, values: Floats, at: Rows) -> None:
        known = np.isfinite(values)
        self._sum = _running(np.where(known, values, 0.0))
        self._count = _running(known.astype(np.float64))
        self._at = at

    def mean(self, window: int, *, lag: int = 0, enough: float = ENOUGH) -> Floats:
        """Mean (W, N) over `window` rows that end `lag` rows before each asked for; NaN where less
        than the share `enough` has values."""
        end = np.maximum(self._at + 1 - lag, 0)
        start = np.maximum(end - window, 0)
        count = self._count[end] - self._count[start]
        total = self._sum[end] - self._sum[start]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count >= max(1.0, enough * window), total / count, np.nan)

    def total(self, window: int, *, lag: int = 0) -> Floats:
        """Sum (W, N) over the window; what is missing counts 0."""
        end = np.maximum(self._at + 1 - lag, 0)
        return np.asarray(self._sum[end] - self._sum[np.maximum(end - window, 0)])


def _running(values: Floats) -> Floats:
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def weighted(values: Floats, half_life: float) -> Floats:
    """Exponentially weighted mean (T, N) of what is known so far; NaN before there is anything.

    Weights are normalised by their own sum, so that a young series is not pulled to zero.
    """
    from scipy.signal import lfilter

    decay = 0.5 ** (1.0 / half_life)
    known = np.isfinite(values)
    total = lfilter([1 - decay], [1, -decay], np.where(known, values, 0.0), axis=0)
    weight = lfilter([1 - decay], [1, -decay], known.astype(np.float64), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight > 1e-9, total / weight, np.nan)


def highest(values: Floats, window: int, at: Rows) -> Floats:
    """Largest known value (W, N) of the `window` rows up to each row `at`; -inf where none is."""
    filled = np.where(np.isfinite(values), values, -np.inf)
    span = 1
    while span * 2 <= window:  # maxima of 2, 4, 8, ... rows, as far as the window reaches
        filled[span:] = np.maximum(filled[span:], filled[:-span])
        span *= 2
    first = np.maximum(at - (window - span), 0)
    return np.asarray(np.maximum(filled[at], filled[first]))
