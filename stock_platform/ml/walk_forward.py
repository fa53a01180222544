"""Rolling-origin evaluation: weekly origins, refits on a fixed calendar, out of sample only.

A refit falls on the same weeks whatever range is asked for, so a long range and single weeks give
the same rows. What is promoted on these rows is decided in gate.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import polars as pl

from stock_platform.ml.candidates.base import Candidate, Distribution, Fitted, NotEnoughHistoryError
from stock_platform.ml.features import H, Mask, Panel
from stock_platform.ml.quantiles import COLUMN_NAMES

ANCHOR = date(2000, 1, 3)
"""A Monday; refit weeks lie a whole number of refit periods from it."""
REFIT_WEEKS = 26
ROW_KEYS = ["week", "instrument_id", "origin_session", "horizon"]


def refit_week(monday: date) -> date:
    """Monday of the refit that serves the week: the last anchored one not after it."""
    past = (monday - ANCHOR).days // 7
    return ANCHOR + timedelta(weeks=past - past % REFIT_WEEKS)


def refits_between(first: date, last: date) -> list[date]:
    """Refit weeks that serve the weeks first..last."""
    start, end = refit_week(first), refit_week(last)
    return [start + timedelta(weeks=w) for w in range(0, (end - start).days // 7 + 1, REFIT_WEEKS)]


def last_day(monday: date) -> date:
    """Sunday of the week: what is known after its last session, whatever the calendar."""
    return monday + timedelta(days=6)


@dataclass
class Block:
    """One refit: every candidate fitted as of its week, and its forecasts until the next refit."""

    week: date
    fitted: dict[str, Fitted] = field(default_factory=dict)
    sat_out: dict[str, str] = field(default_factory=dict)
    """Candidate -> why it could not be fitted."""
    forecasts: pl.DataFrame = field(default_factory=pl.DataFrame)
    """ROW_KEYS, candidate, refit_week, mean, p_up, 21 quantiles (log return)."""


def run_block(panel: Panel, candidates: Sequence[Candidate], week: date) -> Block:
    """Fit every candidate on what was known in `week` and forecast the weeks until the next refit.

    `panel` may reach further than the refit; what lies after an origin changes no row.
    """
    block = Block(week)
    known = panel.until(last_day(week))
    for candidate in candidates:
        try:
            block.fitted[candidate.name] = Fitted(candidate, candidate.fit(known, last_day(week)))
        except NotEnoughHistoryError as reason:
            block.sat_out[candidate.name] = str(reason)
    end = np.datetime64(week + timedelta(weeks=REFIT_WEEKS), "D")
    served: Mask = panel.origins & panel.usable
    served &= (panel.weeks >= np.datetime64(week, "D")) & (panel.weeks < end)
    rows = panel.rows(served)
    if len(rows):
        frames = [
            _long(name, week, rows, fitted.predict(rows)) for name, fitted in block.fitted.items()
        ]
        block.forecasts = pl.concat(frames) if frames else pl.DataFrame()
    return block


def _long(name: str, week: date, rows: Panel, distribution: Distribution) -> pl.DataFrame:
    """The rows of one candidate, at the longest horizon."""
    keys = rows.frame.select("week", "instrument_id", origin_session="session").with_columns(
        horizon=pl.lit(H, pl.UInt8),
        candidate=pl.lit(name),
        refit_week=pl.lit(week),
        mean=pl.Series(distribution.mean[:, H - 1]),
        p_up=pl.Series(distribution.p_up[:, H - 1]),
    )
    return keys.hstack(pl.DataFrame(distribution.quantiles[:, H - 1], schema=COLUMN_NAMES))


def scored(forecasts: pl.DataFrame, panel: Panel, as_of: date) -> pl.DataFrame:
    """The forecasts whose target has matured by `as_of`, with `actual` (log return) and
    `target_session`."""
    labels = panel.labels(as_of)
    outcomes = [
        panel.frame.select("instrument_id", origin_session="session").with_columns(
            horizon=pl.lit(column + 1, pl.UInt8),
            actual=pl.Series(labels[:, column]),
            target_session=pl.Series(panel.forward.targets[:, column]).cast(pl.Date),
        )
        for column in range(H)
    ]
    outcome = pl.concat(outcomes).filter(pl.col("actual").is_finite())
    joined = forecasts.join(outcome, on=["instrument_id", "origin_session", "horizon"])
    return joined.sort("candidate", *ROW_KEYS)
