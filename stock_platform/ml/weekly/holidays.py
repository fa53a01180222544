"""Closures to be expected in the week that is forecast, learned from the panel's own past.

A panel comes without a calendar. Weekdays on which nothing traded tell of one: holidays return on
the same date (25 December) or on the same weekday of a month (its fourth Thursday, its last
Monday). Only days up to the origin are looked at, so a closure nobody foresaw is not foreseen here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from stock_platform.ml.weekly.bars import Days, Rows
from stock_platform.ml.weekly.volatility import Columns

DOUBT = 1.0
"""Years counted as open before any was seen: one closure alone is half a holiday."""
HOLIDAYS = 2
"""Features made here."""
WEEK = timedelta(days=7)
FRIDAY = 4
YEAR_END = frozenset((12, day) for day in range(24, 32)) | {(1, 1)}


def holiday_features(sessions: Days, at: Rows) -> Columns:
    """Expected closed weekdays of the seven days after each origin, and whether Christmas or the
    turn of the year lies among them (W, 1)."""
    traded = set(sessions.tolist())
    closed: defaultdict[tuple[object, ...], float] = defaultdict(float)
    seen: defaultdict[tuple[object, ...], float] = defaultdict(float)
    expected, year_end = np.zeros(len(at)), np.zeros(len(at))
    day: date = sessions[0].item()
    for row, origin in enumerate(sessions[at].tolist()):
        for past in weekdays(day, origin + timedelta(days=1)):
            for key in _names(past):
                seen[key] += 1
                closed[key] += past not in traded
        day = origin + timedelta(days=1)
        for ahead in weekdays(day, origin + WEEK + timedelta(days=1)):
            expected[row] += max(closed[key] / (seen[key] + DOUBT) for key in _names(ahead))
            year_end[row] = max(year_end[row], (ahead.month, ahead.day) in YEAR_END)
    return {"closures_ahead": expected[:, None], "year_end_ahead": year_end[:, None]}


def weekdays(first: date, end: date) -> Iterator[date]:
    """Mondays to Fridays from `first` to before `end`."""
    while first < end:
        if first.weekday() <= FRIDAY:
            yield first
        first += timedelta(days=1)


def _names(day: date) -> tuple[tuple[object, ...], ...]:
    """By what a holiday on that day may return."""
    last = (day + WEEK).month != day.month
    names: tuple[tuple[object, ...], ...] = (
        ("date", day.month, day.day),
        ("weekday", day.month, day.weekday(), (day.day - 1) // 7),
    )
    return (*names, ("last", day.month, day.weekday())) if last else names
