"""Which instruments are expected to do better than the others: a score, out of sample.

A ridge regression and boosted trees (Friedman 2001, in the histogram form of LightGBM, Ke et al.
2017, as scikit-learn has it) of next week's cross-sectional rank on the ranks of weak signals,
averaged. There is little to be found, so both are kept small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stock_platform.ml.weekly.bars import Floats, Reals
from stock_platform.ml.weekly.features import Weekly
from stock_platform.ml.weekly.models import MIN_TRAINING_WEEKS, Mask, Progress
from stock_platform.ml.weekly.ranks import cross_rank

EVERY = 52
"""Weeks between fits: weak signals change slowly, trees are dear."""
SHRINKAGE = 0.02
FEWEST = 20
"""With fewer instruments there is nothing to rank."""
ROWS = 10_000
MOST_ROWS = 400_000
"""A fit takes at most so many rows, evenly spaced: more add time and no skill."""


def rank_scores(weekly: Weekly, refits: Sequence[int], progress: Progress) -> Floats:
    """Scores (W, N), higher is better, mean 0 over the week; NaN where there is none."""
    scores = np.full(weekly.usable.shape, np.nan)
    outcome = cross_rank(weekly.returns)
    outcome[weekly.usable.sum(axis=1) < FEWEST] = np.nan
    times = _spaced(refits)
    for done, (begin, end) in enumerate(zip(times, [*times[1:], weekly.weeks], strict=True)):
        progress("fits of the ranking", done, len(times))
        matured = weekly.matured(begin)
        known = np.isfinite(outcome[:matured])
        if known.any(axis=1).sum() < MIN_TRAINING_WEEKS or known.sum() < ROWS:
            continue
        week, instrument = np.nonzero(known)
        step = -(-len(week) // MOST_ROWS)
        week, instrument = week[::step], instrument[::step]
        x, y = weekly.ranks[week, instrument], outcome[week, instrument]
        now = weekly.ranks[begin:end]
        flat = now.reshape(-1, now.shape[2])
        for model in (_linear, _trees):
            found = model(x, y, flat).reshape(now.shape[:2])
            parts = scores[begin:end]
            scores[begin:end] = np.nan_to_num(parts) + _standard(found, weekly.usable[begin:end])
    progress("fits of the ranking", len(times), len(times))
    scores[~weekly.usable] = np.nan
    return scores


def _linear(x: Reals, y: Floats, now: Reals) -> Floats:
    gram = (x.T @ x).astype(np.float64) / len(x)
    right = (x.T @ y.astype(np.float32)).astype(np.float64) / len(x)
    # Ranks have variance 1/12 whatever the signal.
    slope = np.linalg.solve(gram + SHRINKAGE / 12 * np.eye(len(gram)), right)
    return np.asarray(now @ slope)


def _trees(x: Reals, y: Floats, now: Reals) -> Floats:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        learning_rate=0.05,
        max_iter=80,
        max_leaf_nodes=12,
        min_samples_leaf=1000,
        max_features=0.5,
        max_bins=31,
        early_stopping=False,
        random_state=7,
    )
    return np.asarray(model.fit(x, y).predict(now))


def _standard(values: Floats, usable: Mask) -> Floats:
    """Mean 0 and deviation 1 over the usable instruments of each week (w, N)."""
    known = np.where(usable, values, 0.0)
    count = np.maximum(usable.sum(axis=1, keepdims=True), 1)
    centred = np.where(usable, values - known.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(centred / np.maximum(spread, 1e-12))


def _spaced(refits: Sequence[int]) -> list[int]:
    times: list[int] = []
    for week in refits:
        if not times or week - times[-1] >= EVERY:
            times.append(week)
    return times
