"""How much an instrument moves: its own volatilities, ranges and what shape its moves have."""

from __future__ import annotations

import numpy as np

from stock_platform.ml.weekly.bars import Daily, Floats, Rows
from stock_platform.ml.weekly.windows import Sums, highest, weighted

Columns = dict[str, Floats]
WINDOWS = (1, 2, 5, 10, 22, 60, 120, 250)
HALF_LIVES = (2, 4, 8, 16, 32, 64, 128, 250, 400)
YEAR = 250
FLOOR = 0.05
"""A volatility is taken to be at least this share of the year's: keeps logs finite."""
DECAY_94 = float(np.log(0.5) / np.log(0.94))
"""Half-life of the RiskMetrics (1996) decay."""


def year_variance(daily: Daily, at: Rows) -> Floats:
    """Mean squared return (W, N) of the last 250 sessions; NaN where more than a tenth lack."""
    return Sums(daily.variance, at).mean(YEAR, enough=0.9)


def ewma_variance(daily: Daily, at: Rows) -> Floats:
    """RiskMetrics variance (W, N)."""
    return weighted(daily.variance, DECAY_94)[at]


def log_deviation(variance: Floats, floor: Floats) -> Floats:
    """Log standard deviation of a variance, at least `floor` (a variance)."""
    return np.asarray(0.5 * np.log(np.maximum(variance, floor)))


def volatility_features(daily: Daily, at: Rows) -> Columns:
    """Heterogeneous volatilities (Corsi 2009) of returns and of ranges, and their robust levels."""
    year = year_variance(daily, at)
    floor = FLOOR**2 * year
    returns, ranges = Sums(daily.variance, at), Sums(daily.range_variance, at)
    found: Columns = {}
    for window in WINDOWS:
        found[f"vol_{window}"] = log_deviation(returns.mean(window), floor)
        found[f"range_{window}"] = log_deviation(ranges.mean(window), floor)
    slow: Floats | None = None
    for half_life in HALF_LIVES:
        ranged = weighted(daily.range_variance, half_life)
        slow = ranged if half_life == YEAR else slow
        found[f"ew_{half_life}"] = log_deviation(weighted(daily.variance, half_life)[at], floor)
        found[f"ew_range_{half_life}"] = log_deviation(ranged[at], floor)
    # One quiet or wild day moves a mean of logs little: the best single addition measured.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.maximum(daily.range_variance, 0.01 * slow)) if slow is not None else None
    assert logs is not None
    level, square = Sums(logs, at), Sums(logs**2, at)
    for window in (5, 22, 60, 250):
        found[f"log_range_{window}"] = 0.5 * level.mean(window)
    for window in (22, 60):
        spread = square.mean(window) - level.mean(window) ** 2
        found[f"unsteadiness_{window}"] = np.nan_to_num(np.sqrt(np.maximum(spread, 0.0)))
    absolute = Sums(np.abs(daily.returns), at)
    for window in (5, 22, 60, 250):
        found[f"absolute_{window}"] = np.log(np.maximum(absolute.mean(window), np.sqrt(floor)))
    nightly = Sums(daily.overnight**2, at)
    for window in (5, 22, 60):
        found[f"overnight_{window}"] = log_deviation(nightly.mean(window), floor)
    parkinson = Sums(daily.parkinson, at)
    for window in (5, 22):
        found[f"parkinson_{window}"] = log_deviation(parkinson.mean(window), floor)
    return found


def shape_features(daily: Daily, at: Rows) -> Columns:
    """Skewness, largest move, fall or rise (the leverage effect), distance from the year's high,
    volume against its usual level; pure numbers, clipped, 0 when unknown."""
    year, ewma = year_variance(daily, at), ewma_variance(daily, at)
    floor = FLOOR**2 * year
    squares = Sums(daily.variance, at)
    found: Columns = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        third = Sums(daily.returns**3, at).mean(22)
        found["skew_22"] = np.clip(third / np.maximum(squares.mean(22), floor) ** 1.5, -5, 5)
        usual = Sums(daily.range_variance, at).mean(60)
        largest = highest(np.abs(daily.returns), 22, at)
        found["largest_22"] = np.clip(
            np.log(np.maximum(largest, 1e-6)) - log_deviation(usual, floor), -2, 3
        )
        returns = Sums(daily.returns, at)
        for window in (1, 5, 22, 60):
            unit = np.sqrt(window * ewma)
            found[f"return_{window}"] = np.clip(window * returns.mean(window) / unit, -4, 4)
        falls = np.where(daily.returns < 0, daily.variance, 0.0)
        falling = Sums(np.where(np.isfinite(daily.returns), falls, np.nan), at)
        for window in (5, 22, 60):
            total = np.maximum(squares.mean(window), floor)
            found[f"falls_{window}"] = falling.mean(window) / total
        high = highest(daily.level, YEAR, at)
        found["below_high"] = np.clip((daily.level[at] - high) / np.sqrt(YEAR * year), -4, 0)
    volume = Sums(daily.volume, at)
    for window in (1, 5, 22):
        found[f"volume_{window}"] = np.clip(volume.mean(window) - volume.mean(60), -3, 3)
    found["volume_60"] = np.clip(volume.mean(60) - volume.mean(YEAR), -3, 3)
    return {name: np.nan_to_num(values) for name, values in found.items()}
