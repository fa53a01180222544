"""The record as a picture: skill with its band, coverage over time, and the calibration curve."""

from __future__ import annotations

import numpy as np

from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.plots import figure_of, png
from stock_platform.ml.record import BAND, COVERAGE_WEEKS, NOMINAL, Record

FIRST_WEEKS = 8


def record_plot(record: Record) -> bytes:
    """Three panels, as PNG."""
    figure = figure_of(3, 2.6)
    skill, coverage, curve = figure.axes
    weeks = record.weeks["week"].to_numpy().astype("datetime64[D]")
    base = record.weeks["baseline_pinball_loss"].to_numpy()
    gained = base - record.weeks["pinball_loss"].to_numpy()
    counts = np.arange(1, len(weeks) + 1)
    level = np.cumsum(base) / counts
    mean = np.cumsum(gained) / counts / level
    error = np.array([newey_west_error(gained[:n]) for n in counts]) / level
    shown = counts >= FIRST_WEEKS
    skill.plot(weeks[shown], 100 * mean[shown], color="tab:blue", lw=1)
    low, high = (100 * (mean + sign * BAND * error) for sign in (-1, 1))
    skill.fill_between(weeks[shown], low[shown], high[shown], color="tab:blue", alpha=0.2, lw=0)
    skill.axhline(0, color="grey", lw=0.8)
    skill.set_title("pinball skill against the random walk so far, 95 % band, %", fontsize=9)

    inside = record.weeks["coverage_80"]
    rolling = inside.rolling_mean(COVERAGE_WEEKS).to_numpy()
    coverage.plot(weeks, 100 * rolling, color="tab:blue", lw=1)
    coverage.axhline(100 * NOMINAL, color="grey", lw=0.8)
    coverage.set_title(f"coverage of the 80 % interval, {COVERAGE_WEEKS} weeks, %", fontsize=9)

    levels, shares = (record.calibration[name].to_numpy() for name in ("level", "share"))
    curve.plot([0, 100], [0, 100], color="grey", lw=0.8)
    curve.plot(100 * levels, 100 * shares, "o-", color="tab:blue", lw=1, ms=3)
    curve.set_title("share of prices below each quantile against its level, %", fontsize=9)
    return png(figure)
