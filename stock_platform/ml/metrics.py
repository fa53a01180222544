"""Scores of forecasts against what happened. Weeks are the sample, not stock-weeks.

Every function takes arrays already aligned row by row; nothing here selects rows.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.ml.features import Floats
from stock_platform.ml.quantiles import COLUMN_NAMES, MEDIAN, PROBABILITIES

INNER = slice(1, -1)
"""Quantiles 0.05..0.95, the ones the pinball loss averages over."""
INTERVALS = {50: ("q25", "q75"), 80: ("q10", "q90"), 95: ("q025", "q975")}


def pinball(actual: Floats, quantiles: Floats) -> Floats:
    """Quantile loss (n,) of quantiles (n, 21), mean over 0.05..0.95; Koenker, Bassett (1978)."""
    error = actual[:, None] - quantiles[:, INNER]
    level = PROBABILITIES[INNER]
    return np.asarray(np.maximum(level * error, (level - 1) * error).mean(axis=1))


def crps(actual: Floats, quantiles: Floats) -> Floats:
    """Continuous ranked probability score (n,): twice the integral of the quantile loss over all
    levels (Laio, Tamea 2007), each of the 21 standing for the levels nearest to it."""
    middles = (PROBABILITIES[1:] + PROBABILITIES[:-1]) / 2
    weight = np.diff(np.concatenate([[0.0], middles, [1.0]]))
    error = actual[:, None] - quantiles
    return np.asarray(2 * np.maximum(PROBABILITIES * error, (PROBABILITIES - 1) * error) @ weight)


def coverage(actual: Floats, quantiles: Floats, percent: int) -> float:
    """Share of outcomes inside the central interval of `percent` (50, 80 or 95)."""
    low, high = (COLUMN_NAMES.index(name) for name in INTERVALS[percent])
    return float(np.mean((actual >= quantiles[:, low]) & (actual <= quantiles[:, high])))


def weekly_means(values: Floats, weeks: npt.NDArray[np.datetime64]) -> Floats:
    """Mean of `values` (n,) per week (w,), in order of week."""
    _, place = np.unique(weeks, return_inverse=True)
    return np.asarray(np.bincount(place, values) / np.bincount(place))


def newey_west_t(series: Floats) -> float:
    """The t of a weekly mean by `newey_west_error`.

    NaN with fewer than 8 weeks, 0 when the series is constant zero.
    """
    error = newey_west_error(series)
    mean = float(series.mean()) if len(series) else 0.0
    if error == 0:
        return 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
    return mean / error


def newey_west_error(series: Floats) -> float:
    """Standard error of a weekly mean: Newey, West (1987), Bartlett kernel, lag 4 (n/100)^(2/9).

    NaN with fewer than 8 weeks.
    """
    n = len(series)
    if n < 8:
        return float("nan")
    centred = series - series.mean()
    variance = float(centred @ centred) / n
    lags = int(4 * (n / 100) ** (2 / 9))
    for lag in range(1, lags + 1):
        weight = 1 - lag / (lags + 1)
        variance += 2 * weight * float(centred[lag:] @ centred[:-lag]) / n
    return float(np.sqrt(max(variance, 0.0) / n))


def diebold_mariano(loss: Floats, reference: Floats) -> tuple[float, float]:
    """Statistic and one-sided p that `loss` (weekly means) is below `reference`.

    Diebold, Mariano (1995) for forecasts one step (a week) ahead with the small-sample factor of
    Harvey, Leybourne, Newbold (1997).
    """
    difference = reference - loss
    n = len(difference)
    spread = float(difference.std())
    if n < 8 or spread == 0:
        return 0.0, 0.5
    statistic = float(difference.mean()) / (spread / np.sqrt(n)) * np.sqrt((n - 1) / n)
    return float(statistic), 1 - NormalDist().cdf(float(statistic))


def quantile_matrix(frame: pl.DataFrame) -> Floats:
    """Quantile columns of a frame as (n, 21)."""
    return np.asarray(frame.select(COLUMN_NAMES).to_numpy(), dtype=np.float64)


def score(frame: pl.DataFrame, baseline: pl.DataFrame) -> dict[str, float]:
    """All metrics of one candidate's walk-forward rows against the baseline's on the same rows.

    Both frames hold week, actual (log return), mean (expected price ratio), p_up and the quantiles
    of the log return, row by row the same instrument and origin.
    """
    actual = frame["actual"].to_numpy()
    weeks = frame["week"].to_numpy().astype("datetime64[D]")
    quantiles, reference = quantile_matrix(frame), quantile_matrix(baseline)
    loss, base = pinball(actual, quantiles), pinball(actual, reference)
    weekly_loss, weekly_base = weekly_means(loss, weeks), weekly_means(base, weeks)
    simple, forecast = np.expm1(actual), frame["mean"].to_numpy() - 1
    error, absolute = simple - forecast, np.abs(np.expm1(quantiles[:, MEDIAN]) - simple)
    statistic, p_value = diebold_mariano(weekly_loss, weekly_base)
    return {
        "rows": float(len(actual)),
        "weeks": float(len(weekly_loss)),
        "pinball": float(loss.mean()),
        "crps": float(crps(actual, quantiles).mean()),
        "skill": float(1 - weekly_loss.mean() / weekly_base.mean()),
        "skill_t": newey_west_t(weekly_base - weekly_loss),
        "diebold_mariano": statistic,
        "diebold_mariano_p": p_value,
        "mae": float(absolute.mean()),
        "mae_over_random_walk": float(absolute.mean() / np.abs(simple).mean()),
        "mae_t": newey_west_t(weekly_means(np.abs(simple) - absolute, weeks)),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mape": float(np.mean(absolute / np.exp(actual))),
        "r2_returns": float(1 - np.mean(error**2) / np.mean((simple - simple.mean()) ** 2)),
        "coverage_50": coverage(actual, quantiles, 50),
        "coverage_80": coverage(actual, quantiles, 80),
        "coverage_95": coverage(actual, quantiles, 95),
        "direction": float(np.mean((frame["p_up"].to_numpy() > 0.5) == (actual > 0))),
        "always_up": float(np.mean(actual > 0)),
    }
