"""What the simulated provider said of the market and when: late bars, revisions, provisional bars.

What lives here turns a year of the market into what is visible at one moment. What does not: the
market itself (`simulated_market.py`). A bar is due at its close plus the publication lag; most are
right from then on. Of the others, chosen by the bar's own chance:

- one in 2,000 never comes;
- three in 2,000 come one to ten days late;
- four in 2,000 are wrong at first and corrected one to ten days later.

Between a session's open and its due time the bar is provisional: the part of the day's way that the
share of that time has gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stock_platform.sources.simulated_market import Year

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

NEVER, LATE, WRONG = 0.0005, 0.002, 0.004
"""Upper ends of the ranges of a bar's first chance."""

LONGEST_DELAY_DAYS = 10
LARGEST_ERROR = 0.005
"""A wrong close is off by up to this share; its volume lacks a tenth."""

FIRST_SAID, CORRECTED, PARTIAL = 0, 1, 2


@dataclass(frozen=True)
class Said:
    """The visible bars of a year; all arrays by visible bar, in order of session.

    Attributes:
        session: index into the year's sessions. instrument: index.
        version: FIRST_SAID, CORRECTED or PARTIAL.
    """

    session: NDArray[np.int64]
    instrument: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    version: NDArray[np.int8]


def said(year: Year, days: pl.DataFrame, known_at: datetime, begun: NDArray[np.bool_]) -> Said:
    """What is visible at `known_at`.

    Args:
        year: what happened.
        days: open_at and due_at of the year's sessions.
        known_at: the moment of the fetch.
        begun: the sessions wanted, by index; all have opened.
    """
    import numpy as np

    now = known_at.timestamp()
    opens, dues = (days[name].dt.epoch("us").to_numpy() / 1e6 for name in ("open_at", "due_at"))
    fate, delay, error = year.chance
    settled = dues[:, None] + 86_400 * (1 + np.floor(delay * LONGEST_DELAY_DAYS))
    unsettled = now < settled
    due = now >= dues
    hidden = (fate < NEVER) | ((fate < LATE) & unsettled)
    session, instrument = np.nonzero(year.traded & begun[:, None] & ~hidden)
    picked = (session, instrument)
    opened, high, low, close, volume = (
        values[picked].copy()
        for values in (year.open, year.high, year.low, year.close, year.volume)
    )
    version = np.zeros(len(session), dtype=np.int8)

    flawed = (fate[picked] >= LATE) & (fate[picked] < WRONG) & due[session]
    version[flawed & ~unsettled[picked]] = CORRECTED
    wrong = flawed & unsettled[picked]
    off = 1 + LARGEST_ERROR * (2 * error[picked][wrong] - 1)
    close[wrong] = np.maximum(np.round(close[wrong] * off, 2), 0.01)
    volume[wrong] = np.floor(0.9 * volume[wrong])

    partial = ~due[session]
    if partial.any():
        at = session[partial]
        gone = (now - opens[at]) / (dues[at] - opens[at])
        version[partial] = PARTIAL
        for values in (high, low, close):
            way = gone * (values[partial] - opened[partial])
            values[partial] = np.round(opened[partial] + way, 4)
        volume[partial] = np.floor(gone * volume[partial])
    high, low = (
        np.maximum(high, np.maximum(opened, close)),
        np.minimum(low, np.minimum(opened, close)),
    )
    return Said(session, instrument, opened, high, low, close, volume, version)
