"""Weeks with news, inferred from volume and moves, and when they are due again.

Most companies report every quarter at much the same time. Without a calendar of reports their
weeks show as days on which volume and the part of the move that is not the market's jump together;
what came 13, 26, 39 or 52 weeks ago tells of the week to come.
"""

from __future__ import annotations

import numpy as np

from stock_platform.ml.weekly.bars import Daily, Floats, Rows, before
from stock_platform.ml.weekly.volatility import Columns
from stock_platform.ml.weekly.windows import Sums, weighted

USUAL = 40
"""Half-life in sessions of what counts as usual."""
SPREAD = 250
YEAR = 52
SPIKE = 1.2
"""A week this much above the instrument's mean is an event."""
FORGOTTEN = 20
"""Weeks after which an event no longer counts."""
QUARTERS = (13, 26, 39, 52, 65, 78, 91, 104)


def weekly_scores(daily: Daily, market: Floats, at: Rows) -> Floats:
    """Largest daily event score (W, N) of each week, above its own mean of the last 52 weeks.

    The score of a day is the root of (volume above usual, in standard deviations) x (move or range
    over usual), both against what the instrument did before that day; 0 at its usual volume.
    """
    own = daily.returns - market
    with np.errstate(all="ignore"):
        usual_move = before(weighted(own**2, USUAL))
        usual_range = before(weighted(daily.range_variance, USUAL))
        usual_volume = before(weighted(daily.volume, USUAL))
        excess = daily.volume - usual_volume
        spread = np.sqrt(np.maximum(before(weighted(excess**2, SPREAD)), 0.02))
        volume = np.clip(excess / spread, 0, 6)
        move = np.sqrt(np.fmax(own**2 / usual_move, daily.range_variance / usual_range))
        score = np.nan_to_num(np.sqrt(volume * np.clip(move, 0, 8)))
    first = np.append(max(int(at[0]) - 4, 0), at[:-1] + 1)
    weekly = np.stack(
        [score[start : end + 1].max(axis=0) for start, end in zip(first, at, strict=True)]
    )
    weeks = np.arange(len(at))
    known = np.minimum(weeks + 1, YEAR)[:, None]
    relative = weekly - Sums(weekly, weeks).total(YEAR) / known
    relative[: YEAR // 2] = 0.0
    return np.asarray(relative)


def event_features(scores: Floats) -> Columns:
    """Scores some weeks before the week that is forecast (1: the origin's own week)."""
    found: Columns = {}
    for weeks in (13, 26, 39, 52):
        for near in (-1, 0, 1):
            found[f"event_{weeks + near}"] = ago(scores, weeks + near)
    for weeks in (*range(1, 11), 65, 78, 91, 104, 156):
        found[f"event_{weeks}"] = ago(scores, weeks)
    quarterly = np.mean([ago(scores, weeks) for weeks in QUARTERS], axis=0)
    found["event_quarterly"] = quarterly
    found["event_quarterly_squared"] = np.maximum(quarterly, 0.0) ** 2
    found["event_yearly"] = np.mean([ago(scores, YEAR * year) for year in (1, 2, 3, 4)], axis=0)
    found["event_recent"] = np.max([ago(scores, weeks) for weeks in range(1, 11)], axis=0)
    since = weeks_since(scores)
    found["weeks_since_event"] = since / 10
    for weeks in range(8, 14):
        found[f"event_{weeks}_weeks_since"] = (since == weeks).astype(np.float64)
    return found


def ago(weekly: Floats, weeks: int) -> Floats:
    """Values (W, N) `weeks` before the week after each row; 0 before there were any."""
    shifted = np.zeros_like(weekly)
    shifted[weeks - 1 :] = weekly[: max(len(weekly) - weeks + 1, 0)]
    return shifted


def weeks_since(scores: Floats) -> Floats:
    """Weeks (W, N) since the last event, at most FORGOTTEN; 13 before the first."""
    since = np.empty_like(scores)
    count = np.full(scores.shape[1], 13.0)
    for week, row in enumerate(scores):
        count = np.where(row > SPIKE, 0.0, np.minimum(count + 1, FORGOTTEN))
        since[week] = count
    return since
