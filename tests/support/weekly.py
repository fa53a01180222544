"""Panels of bars with volatility that comes in waves, for the weekly model."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from stock_platform import calendars


def waves(
    symbols: int = 8, years: int = 6, seed: int = 1, first_year: int = 2008, **late: int
) -> pl.DataFrame:
    """Bars of `symbols` instruments whose volatility wanders together and apart.

    `late` names instruments (s3=400) whose first bar comes so many sessions after the first.
    """
    chance = np.random.default_rng(seed)
    days = calendars.sessions("XNYS", date(first_year, 1, 2), date(first_year + years, 1, 2))
    count = len(days)
    common = _wander(chance, count, 1)
    own = _wander(chance, count, symbols)
    daily = 0.01 * np.exp(0.5 * common + 0.5 * own)
    market = chance.normal(size=(count, 1)) * 0.007 * np.exp(0.5 * common)
    returns = market + daily * chance.standard_t(5, (count, symbols)) * np.sqrt(3 / 5)
    close = 50 * np.exp(np.cumsum(returns, axis=0))
    opened = close * np.exp(-0.6 * returns + 0.2 * daily * chance.normal(size=returns.shape))
    span = daily * np.abs(chance.normal(size=returns.shape))
    high = np.maximum(opened, close) * np.exp(span)
    low = np.minimum(opened, close) * np.exp(-span)
    volume = 1e6 * np.exp(0.3 * chance.normal(size=returns.shape) + 10 * np.abs(returns))
    frames = []
    for place in range(symbols):
        name = f"s{place}"
        frames.append(
            pl.DataFrame(
                {
                    "symbol": name,
                    "date": days,
                    "open": opened[:, place],
                    "high": high[:, place],
                    "low": low[:, place],
                    "close": close[:, place],
                    "adj_close": close[:, place] * 0.9,
                    "volume": volume[:, place],
                }
            )[late.get(name, 0) :]
        )
    return pl.concat(frames)


def _wander(chance: np.random.Generator, sessions: int, width: int) -> np.ndarray:
    """A slow autoregression with standard deviation about 1."""
    steps = chance.normal(size=(sessions, width)) * np.sqrt(1 - 0.97**2)
    level = np.zeros((sessions, width))
    for row in range(1, sessions):
        level[row] = 0.97 * level[row - 1] + steps[row]
    return level
