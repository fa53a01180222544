"""A linear model of the coming week's volatility, in logs, refitted on everything matured.

Two regressions are averaged. The pooled one takes all instruments and weeks alike. The two-level
one explains what makes instruments of one week differ apart from what makes weeks differ (within
and between estimators, Mundlak 1978), so that the few hundred weeks do not have to pay for what
hundreds of thousands of rows tell. Both need only sums of products, kept per week and added up as
weeks mature: a refit costs a system of equations, whatever the length of the history.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from stock_platform.ml.weekly.bars import Floats

RIDGE = 1e-4
"""Penalty on standardised regressors, in units of their variance (Hoerl, Kennard 1970)."""
BETWEEN_RIDGE = 0.02
"""The same for the weeks: they are few and alike."""
CONSTANT = 1e-6
"""A feature that varies less than this share of the most varied is rounding, and left out."""
ENOUGH_INSTRUMENTS = 5
"""Weeks with fewer instruments do not tell within from between."""


@dataclass(frozen=True)
class ScaleFit:
    """Coefficients of a refit on features less `centre`.

    Attributes:
        centre: subtracted from the features (p,).
        level, slope: of the pooled regression.
        within: slope (p,) of the differences inside a week; empty without enough instruments.
        between_level, between: of the weeks' means.
    """

    centre: Floats
    level: float
    slope: Floats
    within: Floats
    between_level: float
    between: Floats

    def log_volatility(self, x: Floats, mean: Floats) -> Floats:
        """Log daily volatility (n,) of the coming week, from features (n, p) and their means over
        all usable instruments of the week, (p,) or one per row (n, p)."""
        x, mean = x - self.centre, mean - self.centre
        pooled = self.level + x @ self.slope
        if not len(self.within):
            return np.asarray(pooled)
        two_level = self.between_level + mean @ self.between + (x - mean) @ self.within
        return np.asarray((pooled + two_level) / 2)


@dataclass
class Moments:
    """Sums of products of the weeks taken in so far, and the fit that follows from them."""

    rows: int = 0
    _centre: Floats | None = None
    _pooled: Floats | None = None
    _within: Floats | None = None
    _means: list[Floats] = field(default_factory=list)

    def add(self, x: Floats, y: Floats) -> None:
        """Take in one week: features (n, p) and log volatilities (n,) of its instruments, n > 0."""
        if self._centre is None or self._pooled is None or self._within is None:
            self._centre = x.mean(axis=0)
            size = x.shape[1] + 1
            self._pooled = np.zeros((size + 1, size + 1))
            self._within = np.zeros((size, size))
        both = np.column_stack([np.ones(len(x)), x - self._centre, y])
        products = both.T @ both
        self._pooled = self._pooled + products
        self.rows += len(x)
        if len(x) >= ENOUGH_INSTRUMENTS:
            total = products[0, 1:]
            self._within = self._within + (products[1:, 1:] - np.outer(total, total) / len(x))
            self._means.append(total / len(x))

    def copy(self) -> Moments:
        """The sums as they are; `add` to either leaves the other."""
        return replace(self, _means=list(self._means))

    def fit(self) -> ScaleFit:
        """Solve for what was taken in; there must be something."""
        assert self._pooled is not None
        assert self._within is not None
        assert self._centre is not None
        moments = self._pooled / self.rows
        mean = moments[0, 1:]
        covariance = moments[1:, 1:] - np.outer(mean, mean)
        slope = ridge(covariance, RIDGE)
        within = between = np.empty(0)
        level = 0.0
        if len(self._means) > 1:
            within = ridge(self._within / self.rows, RIDGE)
            means = np.array(self._means)
            middle = means.mean(axis=0)
            spread = means - middle
            between = ridge(spread.T @ spread / len(means), BETWEEN_RIDGE)
            level = float(middle[-1] - middle[:-1] @ between)
        return ScaleFit(
            self._centre, float(mean[-1] - mean[:-1] @ slope), slope, within, level, between
        )


def ridge(covariance: Floats, penalty: float) -> Floats:
    """Slopes (p,) of the last variable of `covariance` (p + 1, p + 1) on the others."""
    gram = covariance[:-1, :-1]
    spread = np.sqrt(np.maximum(np.diag(gram), 0.0))
    constant = spread <= CONSTANT * float(spread.max())
    unit = np.where(constant, 1.0, spread)
    standard = gram / np.outer(unit, unit)
    standard[constant, :] = standard[:, constant] = 0.0
    standard[np.diag_indices(len(standard))] = 1.0 + penalty
    right = np.where(constant, 0.0, covariance[:-1, -1] / unit)
    return np.asarray(np.linalg.solve(standard, right) / unit)
