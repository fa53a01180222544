"""Prices as traded: recovered from adjusted ones, and corporate actions from an adjusted close.

What lives here is arithmetic over one or many instruments' series; what it means for the lake is in
the design ("Basis of a price"). What does not: adjusting at read time, which is the warehouse's.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.sources.base import SourceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PRICES = ("open", "high", "low", "close")
KEY = ("instrument_id", "session")

LARGEST_WHOLE, LARGEST_TERM = 100, 20
"""A split is n:1 or 1:n with n up to the first, or p:q with both up to the second."""

SMALLEST_SPLIT = 1.2
"""A split changes the number of shares by at least this factor, up or down. What changes it less (a
stock dividend of 5 %) can't be told from a cash dividend by an adjusted close; an actions file can
say it."""

LARGEST_DIVIDEND = 0.05
"""A dividend paid on the very day of a split is at most this share of the price."""

CLEARLY = 0.5
"""A step over a split tells its basis when it is off by less than this share of the other's."""

NOISE_FLOOR = 1e-9
NOISE_CEILING = 1e-4
"""A step of the adjustment factor counts when it is above ten times the median step, and never
below the floor. Above the ceiling quarterly dividends (about 1e-3 of the price) can't be told from
rounding, so nothing is recovered."""


def share_factor(bars: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """`bars` plus `later_splits`: product of the ratios of splits with session < ex-date.

    Args:
        bars: instrument_id, session, ...
        splits: instrument_id, session (ex-date), value (ratio).
    """
    steps = (
        splits.lazy()
        .sort(KEY, descending=[False, True])
        .select(
            "instrument_id",
            pl.col("session").alias("ex_date"),
            pl.col("value").cum_prod().over("instrument_id").alias("later_splits"),
        )
        .sort("ex_date")
    )
    return (
        bars.lazy()
        .with_columns((pl.col("session") + pl.duration(days=1)).alias("next_day"))
        .sort("next_day")
        .join_asof(
            steps,
            left_on="next_day",
            right_on="ex_date",
            by="instrument_id",
            strategy="forward",
            check_sortedness=False,  # it can't be checked by group; both sides are sorted above
        )
        .with_columns(pl.col("later_splits").fill_null(1.0))
        .drop("next_day", "ex_date", strict=False)
        .sort(KEY)
        .collect()
    )


def from_split_adjusted(bars: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Bars as traded from bars divided by every split in `splits` after them.

    traded = price x product of the ratios of later splits; volume the other way.
    """
    factored = share_factor(bars, splits)
    return factored.with_columns(
        *[pl.col(name) * pl.col("later_splits") for name in PRICES],
        pl.col("volume") / pl.col("later_splits"),
    ).drop("later_splits")


def from_total_return(
    bars: pl.DataFrame, actions: pl.DataFrame, reinvested_at: str
) -> pl.DataFrame:
    """Bars as traded from bars adjusted for splits and dividends, the last bar being as traded.

    Walking back over an ex-date with ratio s and dividend d (per share traded ex), with F the
    factor (adjusted = F x traded) from the ex-date on: at the previous close P (adjusted P' = F' P)
    F' = (F/s) / (1 + F d / P') when the dividend is bought back at the previous close (F' =
    F/s (1 - s d/P)), and F' = (F/s) / (1 + d/C) when at the close C of the ex-date.
    Volume is divided by splits alone.

    Raises:
        SourceError: a dividend leaves no positive price.
    """
    import numpy as np

    parts = []
    for (instrument,), mine in bars.group_by("instrument_id", maintain_order=True):
        events = actions.filter(pl.col("instrument_id") == instrument)
        factor, shares = _factors(
            mine["session"].to_numpy(), mine["close"].to_numpy(), events, reinvested_at
        )
        if not np.all(np.isfinite(factor) & (factor > 0)):
            raise SourceError(
                f"{instrument}: its dividends leave no positive traded price: mend the actions file"
            )
        parts.append(
            mine.with_columns(
                *[pl.col(name) / pl.Series(factor) for name in PRICES],
                pl.col("volume") / pl.Series(shares),
            )
        )
    return pl.concat(parts) if parts else bars


def _factors(
    days: NDArray[np.datetime64],
    adjusted: NDArray[np.float64],
    events: pl.DataFrame,
    reinvested_at: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per bar: adjusted / traded price, and new shares per share of that day."""
    import numpy as np

    factor, shares = np.ones(len(days)), np.ones(len(days))
    for (day,), today in sorted(events.group_by("session"), key=lambda g: g[0], reverse=True):
        at = int(np.searchsorted(days, np.datetime64(day)))
        if at == 0:
            continue
        since = factor[at - 1]  # the factor from the ex-date on: later events are divided out
        for action, value in today.select("action", "value").iter_rows():
            if action == "split":
                factor[:at] /= value
                shares[:at] *= value
            elif reinvested_at == "previous_close":
                factor[:at] /= 1 + since * value / adjusted[at - 1]
            elif at == len(days):
                raise SourceError(
                    f"{today['instrument_id'][0]}: the dividend of {day} lies after its last bar, "
                    "so the close at which it was reinvested is unknown: give bars through that day"
                )
            else:
                factor[:at] /= 1 + factor[at] * value / adjusted[at]
    return factor, shares


def recover_actions(bars: pl.DataFrame, reinvested_at: str) -> pl.DataFrame:
    """Splits and dividends read off the steps of adj_close / close.

    Over an ex-date with ratio s and dividend d the factor adj_close / close steps up by
    g = s (1 + d / close) (`ex_close`) or g = s / (1 - s d / previous close) (`previous_close`).
    A step is a split when it is a fraction of small terms, changes the shares by a fifth or more,
    and the traded close moves with it; what is left of it is the dividend.

    Args:
        bars: as traded, sorted by instrument and session, with close and adj_close.
        reinvested_at: which of the two formulas made the adjusted close.

    Returns:
        instrument_id, session (ex-date), action, value; dividends per share traded ex, to 1e-6.

    Raises:
        SourceError: the steps drown in rounding, or one is neither split nor dividend.
    """
    import numpy as np

    found: list[tuple[str, object, str, float]] = []
    for (instrument,), mine in bars.group_by("instrument_id", maintain_order=True):
        days, close = mine["session"].to_list(), mine["close"].to_numpy()
        factor = mine["adj_close"].to_numpy() / close
        step = factor[1:] / factor[:-1]
        noise = max(NOISE_FLOOR, 10 * float(np.median(np.abs(step - 1)))) if len(step) else 0.0
        if noise > NOISE_CEILING:
            raise SourceError(
                f"{instrument}: its adjusted close is rounded so coarsely (steps of {noise:.0e}) "
                "that dividends can't be told from rounding: give an actions file"
            )
        for at in np.flatnonzero(np.abs(step - 1) > noise) + 1:
            gain, before, after = float(step[at - 1]), float(close[at - 1]), float(close[at])
            try:
                ratio = _split_ratio(gain, before / after, noise)
            except SourceError as error:
                raise SourceError(f"{instrument}: on {days[at]} {error}") from None
            rest = gain / ratio
            dividend = after * (rest - 1)
            if reinvested_at == "previous_close":
                dividend = before / ratio * (1 - 1 / rest)
            if ratio != 1:
                found.append((str(instrument), days[at], "split", ratio))
            if rest - 1 > noise:
                found.append((str(instrument), days[at], "dividend", round(dividend, 6)))
            elif ratio == 1:
                raise SourceError(
                    f"{instrument}: on {days[at]} its adjusted close falls against its close by "
                    f"{1 - gain:.2%}, which no split or dividend explains: give an actions file"
                )
    return pl.DataFrame(
        found,
        schema={
            "instrument_id": pl.String,
            "session": pl.Date,
            "action": pl.String,
            "value": pl.Float64,
        },
        orient="row",
    ).sort("instrument_id", "session", "action")


def _split_ratio(gain: float, fall: float, noise: float) -> float:
    """The split within a step of the factor, 1 if there is none.

    Args:
        gain: step of adj_close / close.
        fall: previous close / close, both as traded.
        noise: relative size of what is rounding.
    """

    def moved(ratio: float) -> bool:
        return bool(
            max(ratio, 1 / ratio) >= SMALLEST_SPLIT
            and abs(math.log(fall / ratio)) < abs(math.log(fall))
        )

    for ratio in _ratios():
        if abs(gain / float(ratio) - 1) <= noise and moved(float(ratio)):
            return float(ratio)
    for ratio in _ratios():
        if noise < gain / float(ratio) - 1 < LARGEST_DIVIDEND and moved(float(ratio)):
            return float(ratio)
    if moved(gain):
        raise SourceError(
            f"shares seem to have been split {gain:.4f}:1, no usual ratio: give an actions file"
        )
    return 1.0


@cache
def _ratios() -> list[Fraction]:
    """The ratios a split may have, the simplest first."""
    whole = [Fraction(n) for n in range(2, LARGEST_WHOLE + 1)]
    terms = range(1, LARGEST_TERM + 1)
    ratios = {*whole, *[1 / n for n in whole], *[Fraction(p, q) for p in terms for q in terms]}
    return sorted(ratios, key=lambda r: (r.numerator + r.denominator, r))


def check_basis(bars: pl.DataFrame, splits: pl.DataFrame, basis: str) -> None:
    """Refuse a declared basis that the closes around a large split contradict.

    Raises:
        SourceError: naming the instrument, the split and the mend.
    """
    wrong = contradictions(bars, splits, basis)
    if wrong.height:
        row = wrong.row(0, named=True)
        raise SourceError(
            f"{row['instrument_id']}: files.yaml says basis {basis}, but over the split of "
            f"{row['value']:g}:1 on {row['session']} its close goes from {row['before']:g} to "
            f"{row['close']:g}: mend `basis`, or the split in the actions file"
        )


def contradictions(bars: pl.DataFrame, splits: pl.DataFrame, basis: str) -> pl.DataFrame:
    """The large splits over which the closes are clearly not on the basis `bars` are said to be on.

    Over an ex-date with ratio s a traded close steps by about 1/s, an adjusted one by about 1. A
    share may move much on such a day, so the step has to be nearer to the other basis by far.

    Args:
        bars: instrument_id, session, close; sorted.
        splits: instrument_id, session (ex-date), value (ratio).
        basis: `traded`, or else adjusted for splits.

    Returns:
        instrument_id, session, value, close, before (the close before the ex-date).
    """
    closes = bars.select(
        *KEY, "close", pl.col("close").shift().over("instrument_id").alias("before")
    )
    seen = (
        splits.select(*KEY, "value")
        .filter(pl.col("value").log().abs() > math.log(1.5))
        .join(closes, on=KEY)
        .drop_nulls("before")
    )
    fall = (pl.col("before") / pl.col("close")).log()
    off = {"traded": (fall - pl.col("value").log()).abs(), "split_adjusted": fall.abs()}
    said = off.pop("traded" if basis == "traded" else "split_adjusted")
    (other,) = off.values()
    return seen.filter(other < CLEARLY * said).sort(KEY)
