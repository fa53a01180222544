"""What all instruments share: the market's own moves, and how closely each one follows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stock_platform.ml.weekly.bars import Daily, Floats, Rows
from stock_platform.ml.weekly.volatility import FLOOR, YEAR, Columns, log_deviation, year_variance
from stock_platform.ml.weekly.windows import Sums, highest, weighted

WILD = 0.5
"""A log return beyond this does not count in the market's mean: more often news than market."""
TINY = 1e-8
UNIT = 2.0**40
AVERAGED = ("range_1", "range_5", "range_22", "log_range_22", "ew_8")
"""Features whose mean over all instruments is a feature too."""
VOLATILITY_WINDOWS = (5, 22, 60, 250)
RETURN_WINDOWS = (1, 5, 22, 60)
MARKET_FEATURES = (
    *(f"market_vol_{window}" for window in VOLATILITY_WINDOWS),
    *(f"market_return_{window}" for window in RETURN_WINDOWS),
    "market_below_high",
)


@dataclass
class MarketSum:
    """Sum of the instruments' returns per session, gathered some instruments at a time."""

    total: Floats
    count: Floats

    @classmethod
    def empty(cls, sessions: int) -> MarketSum:
        """Of no instrument yet."""
        return cls(np.zeros(sessions), np.zeros(sessions))

    def add(self, daily: Daily) -> None:
        """Count these instruments."""
        known = np.abs(daily.returns) < WILD
        # Sums of multiples of 2^-40 are exact: another instrument changes no bit of days before it.
        steps = np.round(np.where(known, daily.returns, 0.0) * UNIT) / UNIT
        self.total += steps.sum(axis=1)
        self.count += known.sum(axis=1)

    def returns(self) -> Floats:
        """The market's return (T, 1), every instrument weighing the same."""
        return np.asarray(self.total / np.maximum(self.count, 1.0))[:, None]


def market_features(market: Floats, at: Rows) -> Columns:
    """Volatility, standardised returns and distance from the year's high (W, 1)."""
    squares = Sums(market**2, at)
    returns = Sums(market, at)
    year = np.maximum(squares.mean(YEAR), TINY)
    recent = np.maximum(weighted(market**2, 8)[at], TINY)
    found: Columns = {}
    for window in VOLATILITY_WINDOWS:
        found[f"market_vol_{window}"] = log_deviation(squares.mean(window), np.asarray(TINY))
    for window in RETURN_WINDOWS:
        unit = np.sqrt(window * recent)
        found[f"market_return_{window}"] = np.clip(window * returns.mean(window) / unit, -4, 4)
    level = np.cumsum(market, axis=0)
    found["market_below_high"] = (level[at] - highest(level, YEAR, at)) / np.sqrt(YEAR * year)
    return {name: np.nan_to_num(values) for name, values in found.items()}


def sensitivity_features(daily: Daily, market: Floats, at: Rows) -> Columns:
    """Slope on the market's return over 250 sessions and what is left without it."""
    year = year_variance(daily, at)
    squares = Sums(daily.variance, at)
    both = Sums(market * daily.returns, at)
    market_squares = Sums(np.where(np.isfinite(daily.returns), market**2, np.nan), at)
    found: Columns = {}
    for window in (YEAR, 60):
        variance = np.maximum(market_squares.mean(window), TINY)
        slope = both.mean(window) / variance
        own = squares.mean(window) - slope**2 * variance
        found[f"idiosyncratic_{window}"] = log_deviation(own, 4 * FLOOR**2 * year)
        if window == YEAR:
            found["beta"] = np.nan_to_num(np.clip(slope, -1, 4))
    return found
