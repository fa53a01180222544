"""Bars of a panel as dense arrays, sessions x instruments, and the daily series made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.errors import PlatformError

Floats = npt.NDArray[np.float64]
Reals = npt.NDArray[np.floating]
"""Of single or double precision."""
Days = npt.NDArray[np.datetime64]
Rows = npt.NDArray[np.int64]

PRICES = ("open", "high", "low", "close")
COLUMNS = ("symbol", "date", *PRICES, "adj_close", "volume")
LOG_2 = float(np.log(2.0))


@dataclass(frozen=True)
class Bars:
    """What was traded: arrays (T, N), NaN where an instrument has no bar.

    Attributes:
        sessions: the panel's own sessions (T,), every day on which any instrument has a bar.
        symbols: the instruments (N,).
        open, high, low, close: prices on one basis, adjusted for splits and not for dividends;
            all but the close in single precision, which is finer than any range.
        total_return: close with dividends reinvested, on any scale; `close` where unknown.
        volume: shares on the same basis.
    """

    sessions: Days
    symbols: Sequence[str]
    open: Reals
    high: Reals
    low: Reals
    close: Floats
    total_return: Floats
    volume: Reals

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Bars:
        """Take rows symbol x date with COLUMNS; a bar without a positive close is no bar.

        Raises:
            PlatformError: a column is missing, or a symbol has two rows of one date.
        """
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise PlatformError(
                f"the panel lacks {', '.join(missing)}: its columns must be {', '.join(COLUMNS)}"
            )
        rows = frame.select(
            pl.col("symbol").cast(pl.String),
            pl.col("date").cast(pl.Date),
            *(pl.col(name).cast(pl.Float64) for name in COLUMNS[2:]),
        ).filter(pl.col("close") > 0, pl.col("close").is_finite())
        double = rows.filter(pl.struct("symbol", "date").is_duplicated())
        if double.height:
            symbol, day = double.row(0)[:2]
            raise PlatformError(f"the panel has two rows of {symbol} on {day}: keep one")
        if rows.is_empty():
            raise PlatformError("the panel has no row with a positive close")
        sessions = rows["date"].unique().sort()
        symbols = rows["symbol"].unique().sort()
        at = np.searchsorted(sessions.to_numpy(), rows["date"].to_numpy())
        of = rows["symbol"].replace_strict(symbols, range(len(symbols)), return_dtype=pl.Int64)
        arrays = {}
        for name in COLUMNS[2:]:
            exact = name in ("close", "adj_close")
            dense = np.full(
                (len(sessions), len(symbols)), np.nan, dtype=np.float64 if exact else np.float32
            )
            dense[at, of.to_numpy()] = rows[name].to_numpy()
            arrays[name] = dense
        total = arrays.pop("adj_close")
        total = np.where(total > 0, total, arrays["close"])
        return cls(
            sessions.to_numpy().astype("datetime64[D]"),
            symbols.to_list(),
            total_return=total,
            **arrays,
        )

    def of(self, columns: slice) -> Bars:
        """Some of the instruments."""
        return Bars(
            self.sessions,
            self.symbols[columns],
            self.open[:, columns],
            self.high[:, columns],
            self.low[:, columns],
            self.close[:, columns],
            self.total_return[:, columns],
            self.volume[:, columns],
        )

    def origins(self) -> Rows:
        """Rows (W,) of the last session of every calendar week."""
        days: Rows = self.sessions.astype(np.int64)
        week = (days + 3) // 7  # 1970-01-01 was a Thursday
        return np.flatnonzero(np.append(week[1:] != week[:-1], True))


@dataclass(frozen=True)
class Daily:
    """Series (T, N) of each instrument by itself, in log units; NaN where there is no bar.

    Attributes:
        close: as traded, split-adjusted.
        level: log of the total-return price, its last value carried over sessions without a bar.
        returns: change of `level` since the bar before.
        overnight: its part from the close before to the open; 0 where there is no open.
        variance: squared returns.
        range_variance: overnight^2 plus the mean of Garman, Klass (1980) and Rogers, Satchell
            (1991); the squared return where high and low are unknown.
        parkinson: Parkinson (1980).
        volume: log volume.
    """

    close: Floats
    level: Floats
    returns: Floats
    overnight: Floats
    variance: Floats
    range_variance: Floats
    parkinson: Floats
    volume: Floats

    @classmethod
    def of(cls, bars: Bars) -> Daily:
        """Series of the bars."""
        with np.errstate(all="ignore"):
            level = carried(np.log(bars.total_return))
            price = carried(np.log(bars.close))
            traded = np.isfinite(bars.close)
            returns = np.where(traded, change(level), np.nan)
            dividend = returns - np.where(traded, change(price), np.nan)
            opened = np.log(bars.open.astype(np.float64))
            overnight = opened - before(price) + dividend
            top = np.log(np.fmax(bars.high, np.fmax(bars.open, bars.close))) - opened
            bottom = np.log(np.fmin(bars.low, np.fmin(bars.open, bars.close))) - opened
            end = np.log(bars.close) - opened
            spread = (top - bottom) ** 2
            garman_klass = 0.5 * spread - (2 * LOG_2 - 1) * end**2
            rogers_satchell = top * (top - end) + bottom * (bottom - end)
            variance = returns**2
            ranged = overnight**2 + 0.5 * (garman_klass + rogers_satchell)
            ranged = np.where(
                np.isfinite(bars.high + bars.low) & np.isfinite(ranged), ranged, variance
            )
            ranged = np.where(np.isfinite(returns), ranged, np.nan)
            volume = np.where(bars.volume > 0, np.log(np.fmax(bars.volume, 1.0)), np.nan)
        parkinson = np.where(np.isfinite(spread), spread / (4 * LOG_2), variance)
        return cls(
            bars.close,
            level,
            returns,
            np.where(np.isfinite(overnight), overnight, 0.0),
            variance,
            ranged,
            np.where(np.isfinite(returns), parkinson, np.nan),
            volume,
        )


def carried(values: Floats) -> Floats:
    """Values (T, N) with each gap filled by the last one before it."""
    place = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    np.maximum.accumulate(place, axis=0, out=place)
    return np.take_along_axis(values, place, axis=0)


def before(values: Floats) -> Floats:
    """Each row's predecessor; NaN for the first."""
    shifted = np.empty_like(values)
    shifted[0] = np.nan
    shifted[1:] = values[:-1]
    return shifted


def change(values: Floats) -> Floats:
    """Difference to the row before."""
    return np.asarray(values - before(values))
