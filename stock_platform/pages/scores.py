"""Numbers of the record that no mart has: skill with its band, coverage with the band of chance.

Weeks are the sample (ml/record.py): a band is of weekly means, by Newey and West (1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.plots_record import FIRST_WEEKS
from stock_platform.ml.quantiles import COLUMN_NAMES, PROBABILITIES
from stock_platform.ml.record import BAND, COVERAGE_WEEKS, MIN_WEEKS


@dataclass(frozen=True)
class Skill:
    """Pinball loss saved against the random walk, as a fraction, with its 95 % band over weeks.

    `low` and `high` are NaN with fewer than FIRST_WEEKS weeks, all three without any.
    """

    value: float
    low: float
    high: float
    weeks: int

    @property
    def verdict(self) -> str:
        """better, worse, unclear (0 lies in the band) or early (too few weeks to tell)."""
        if self.weeks < MIN_WEEKS:
            return "early"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"


def skill(weekly: pl.DataFrame) -> Skill:
    """Skill over all weeks of a frame with pinball_loss and baseline_pinball_loss per week."""
    if weekly.is_empty():
        return Skill(np.nan, np.nan, np.nan, 0)
    base = weekly["baseline_pinball_loss"].to_numpy()
    gained = base - weekly["pinball_loss"].to_numpy()
    value = float(gained.mean() / base.mean())
    error = newey_west_error(gained) / float(base.mean())
    return Skill(value, value - BAND * error, value + BAND * error, len(base))


def skill_by(weekly: pl.DataFrame) -> pl.DataFrame:
    """Skill of each `key`: key, skill, low, high, weeks, forecasts, coverage_50, _80 and _95."""
    rows = []
    for (key,), part in weekly.group_by("key", maintain_order=True):
        found = skill(part)
        rows.append(
            {
                "key": str(key),
                "skill": found.value,
                "low": found.low,
                "high": found.high,
                "weeks": found.weeks,
                "forecasts": int(part["forecasts"].sum()),
                **{name: float(np.mean(part[name].to_numpy())) for name in COVERAGES},
            }
        )
    return pl.DataFrame(rows)


COVERAGES = ("coverage_50", "coverage_80", "coverage_95")


def skill_so_far(weekly: pl.DataFrame) -> pl.DataFrame:
    """Skill over the weeks up to each, from the FIRST_WEEKS-th on: week, skill, low, high."""
    base = weekly["baseline_pinball_loss"].to_numpy()
    gained = base - weekly["pinball_loss"].to_numpy()
    counts = np.arange(1, len(base) + 1)
    level = np.cumsum(base) / counts
    value = np.cumsum(gained) / counts / level
    error = np.array([newey_west_error(gained[:n]) for n in counts]) / level
    return (
        weekly.select("week")
        .with_columns(
            skill=pl.Series(value),
            low=pl.Series(value - BAND * error),
            high=pl.Series(value + BAND * error),
        )
        .slice(FIRST_WEEKS - 1)
    )


def coverage_over_time(weekly: pl.DataFrame, percent: int) -> pl.DataFrame:
    """Share inside the interval over COVERAGE_WEEKS weeks: week, coverage, low, high.

    Between low and high a coverage differs from `percent` by no more than weekly scatter explains.
    """
    inside = weekly[f"coverage_{percent}"].to_numpy()
    if len(inside) < COVERAGE_WEEKS:
        return pl.DataFrame(schema={"week": pl.Date, **dict.fromkeys(_BAND_COLUMNS, pl.Float64)})
    windows = np.lib.stride_tricks.sliding_window_view(inside, COVERAGE_WEEKS)
    error = np.array([newey_west_error(window) for window in windows])
    nominal = percent / 100
    return (
        weekly.select("week")
        .slice(COVERAGE_WEEKS - 1)
        .with_columns(
            coverage=pl.Series(windows.mean(axis=1)),
            low=pl.Series(np.clip(nominal - BAND * error, 0, 1)),
            high=pl.Series(np.clip(nominal + BAND * error, 0, 1)),
        )
    )


_BAND_COLUMNS = ("coverage", "low", "high")


def calibration(shares: dict[str, float]) -> pl.DataFrame:
    """Level of each quantile and the share of outcomes below it: level, share."""
    return pl.DataFrame(
        {"level": PROBABILITIES, "share": np.array([shares[name] for name in COLUMN_NAMES])}
    )
