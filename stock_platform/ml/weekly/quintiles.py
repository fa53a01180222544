"""How likely an instrument is to end in each fifth of the week's returns.

A wide distribution ends in the outer fifths more often, a high score in the upper ones. How much
more is counted, not assumed: past weeks are divided by forecast volatility against the week's mean
and by rank score, and the fifths in which their instruments ended are counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stock_platform.ml.weekly.bars import Floats
from stock_platform.ml.weekly.features import Weekly
from stock_platform.ml.weekly.ranking import FEWEST
from stock_platform.ml.weekly.ranks import cross_rank

FIFTHS = 5
STEP, STEPS = 0.1, 15
"""Log volatility against the week's mean, in steps up to 1.5 either way."""
SCORES = 5
PRIOR = 100.0
"""Even counts that every cell starts with."""


def quintile_probabilities(weekly: Weekly, scale: Floats, scores: Floats) -> Floats:
    """Probabilities (W, N, 5) of the fifths, lowest returns first; NaN where there is no scale.

    A week rests on targets matured by its origin. Without a score an instrument counts as average.
    """
    cells = _cells(scale, scores)
    outcome = fifths(weekly.returns)
    counts = np.full(((2 * STEPS + 1) * SCORES, FIFTHS), PRIOR / FIFTHS)
    found = np.full((*scale.shape, FIFTHS), np.nan)
    done = 0
    for week in range(weekly.weeks):
        for past in range(done, weekly.matured(week)):
            known = (cells[past] >= 0) & (outcome[past] >= 0)
            np.add.at(counts, (cells[past][known], outcome[past][known]), 1.0)
        done = max(done, weekly.matured(week))
        known = cells[week] >= 0
        chosen = counts[cells[week][known]]
        found[week, known] = chosen / chosen.sum(axis=1, keepdims=True)
    return found


def fifths(returns: Floats) -> npt.NDArray[np.int64]:
    """The fifth (W, N) of its week a return is in, 0 lowest; -1 unknown or too few instruments."""
    rank = cross_rank(returns)
    place = np.clip(np.floor((np.nan_to_num(rank) + 0.5) * FIFTHS), 0, FIFTHS - 1).astype(np.int64)
    enough = np.isfinite(rank).sum(axis=1, keepdims=True) >= FEWEST
    return np.where(np.isfinite(rank) & enough, place, -1)


def _cells(scale: Floats, scores: Floats) -> npt.NDArray[np.int64]:
    """Number of the cell of each forecast; -1 without a scale."""
    known = np.isfinite(scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(scale)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, logs, 0.0).sum(axis=1, keepdims=True) / count
    steps = np.clip(np.round(np.where(known, logs - mean, 0.0) / STEP), -STEPS, STEPS)
    rank = np.nan_to_num(cross_rank(np.where(known, scores, np.nan)))
    level = np.clip(np.floor((rank + 0.5) * SCORES), 0, SCORES - 1)
    cell = (steps + STEPS) * SCORES + level
    return np.where(known, cell, -1).astype(np.int64)
