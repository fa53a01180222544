"""Features of every instrument at every weekly origin, and what followed.

Each feature of a week depends on bars up to that week's origin only and is the same bit for bit on
a longer panel (guarantee G4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stock_platform.ml.weekly import events, peers
from stock_platform.ml.weekly.bars import Bars, Daily, Days, Floats, Reals, Rows
from stock_platform.ml.weekly.market import (
    AVERAGED,
    MARKET_FEATURES,
    MarketSum,
    market_features,
    sensitivity_features,
)
from stock_platform.ml.weekly.ranks import (
    PEER_WINDOWS,
    peer_signals,
    rank_in_place,
    signal_features,
)
from stock_platform.ml.weekly.volatility import (
    FLOOR,
    Columns,
    ewma_variance,
    log_deviation,
    shape_features,
    volatility_features,
    year_variance,
)
from stock_platform.ml.weekly.windows import Sums

HORIZON = 5
"""Sessions ahead."""
TOGETHER = 64
"""Instruments made at once: their arrays stay in the processor's cache, and memory is bounded."""
WORKERS = 2

LEVELS = (
    "vol_",
    "range_",
    "ew_",
    "log_range_",
    "absolute_",
    "overnight_",
    "parkinson_",
    "idiosyncratic_",
)
"""Log volatilities: one that is missing is taken to be the instrument's level of a month."""


@dataclass(frozen=True)
class Weekly:
    """A panel at its W weekly origins, N instruments, p features.

    Attributes:
        sessions: all sessions of the panel (T,).
        at: rows of the origins (W,).
        symbols: the instruments.
        names: the features (p,) of `x`.
        x: features (W, N, p), for the scale.
        ranks: features (W, N, q) as ranks across the panel, for the ranking.
        usable: where a forecast can be made (W, N): a year of bars and one at the origin.
        year_variance: mean squared return of 250 sessions (W, N).
        ewma_variance: exponentially weighted (W, N).
        close: price at the origin (W, N).
        returns: log price returns (W, N) to the HORIZON-th session after; NaN where unknown.
        volatility: log of the daily volatility (W, N) of those sessions, the target of the scale.
    """

    sessions: Days
    at: Rows
    symbols: Sequence[str]
    names: Sequence[str]
    x: npt.NDArray[np.float32]
    ranks: npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    year_variance: Floats
    ewma_variance: Floats
    close: Floats
    returns: Floats
    volatility: Floats

    @property
    def weeks(self) -> int:
        """Number W of origins."""
        return len(self.at)

    def matured(self, week: int) -> int:
        """How many weeks, from the first, have their target at or before the origin of `week`."""
        return int(np.searchsorted(self.at, self.at[week] - HORIZON, side="right"))

    def columns(self, names: Sequence[str]) -> npt.NDArray[np.intp]:
        """Places of features in `x`."""
        return np.array([list(self.names).index(name) for name in names], dtype=np.intp)


def weekly_panel(bars: Bars) -> Weekly:
    """Features and outcomes of every origin of the panel."""
    at = bars.origins()
    slices = [slice(s, s + TOGETHER) for s in range(0, len(bars.symbols), TOGETHER)]
    with ThreadPoolExecutor(WORKERS) as pool:
        returns = np.empty(bars.close.shape, dtype=np.float32)
        total = MarketSum.empty(len(bars.sessions))
        dailies = pool.map(lambda columns: Daily.of(bars.of(columns)), slices)
        for columns, daily in zip(slices, dailies, strict=True):
            returns[:, columns] = daily.returns
            total.add(daily)
        market = total.returns()
        groups = peers.find_peers(returns - market.astype(np.float32), bars.sessions, at)
        maker = _Maker(bars, at, market)
        maker.fill(pool.map(maker.part, slices), slices)
    return maker.panel(groups)


class _Maker:
    """Puts the features of some instruments at a time into arrays of all, each held once."""

    def __init__(self, bars: Bars, at: Rows, market: Floats) -> None:
        self.bars, self.at, self.market = bars, at, market
        self.shape = (len(at), len(bars.symbols))
        self.outcome: Columns = {}
        self.scale = _Stack(self.shape)
        self.signals = _Stack(self.shape)

    def part(self, columns: slice) -> tuple[Columns, Columns, Columns]:
        """Features for the scale, signals for the ranking, and outcomes of some instruments."""
        daily, at = Daily.of(self.bars.of(columns)), self.at
        scores = events.weekly_scores(daily, self.market, at)
        found = volatility_features(daily, at)
        found |= shape_features(daily, at)
        found |= sensitivity_features(daily, self.market, at)
        level = np.where(
            np.isfinite(found["log_range_22"]), found["log_range_22"], found["vol_250"]
        )
        for name, values in found.items():
            if name.startswith(LEVELS):
                found[name] = np.where(np.isfinite(values), values, level)
        found |= events.event_features(scores)
        signals = signal_features(daily, found, scores, self.market, at)
        return found, signals, _outcome(daily, at)

    def fill(
        self, parts: Iterable[tuple[Columns, Columns, Columns]], slices: Sequence[slice]
    ) -> None:
        """Take the parts in the order of their slices."""
        later = len(peers.FOLLOWED) + len(MARKET_FEATURES) + len(AVERAGED)
        for columns, (scale, signals, outcome) in zip(slices, parts, strict=True):
            self.scale.put(scale, columns, later)
            self.signals.put(signals, columns, 2 * len(PEER_WINDOWS))
            for name, values in outcome.items():
                self.outcome.setdefault(name, np.empty(self.shape))[:, columns] = values

    def panel(self, groups: peers.Groups) -> Weekly:
        """Add what needs all instruments, and arrange."""
        year = self.outcome["year"]
        usable = np.isfinite(year) & (year > 0) & np.isfinite(self.outcome["close"])
        everyone = slice(None)
        self.scale.put(peers.peer_features(self.scale, groups), everyone)
        self.scale.put(market_features(self.market, self.at), everyone)
        averages = {f"mean_{name}": mean_of_usable(self.scale[name], usable) for name in AVERAGED}
        self.scale.put(averages, everyone)
        self.scale.array[~usable] = 0.0
        self.signals.put(peer_signals(self.signals, groups), everyone)
        rank_in_place(self.signals.array, usable)
        return Weekly(
            sessions=self.bars.sessions,
            at=self.at,
            symbols=self.bars.symbols,
            names=self.scale.names,
            x=self.scale.array,
            ranks=self.signals.array,
            usable=usable,
            year_variance=np.where(usable, year, np.nan),
            ewma_variance=np.where(usable, self.outcome["ewma"], np.nan),
            close=self.outcome["close"],
            returns=np.where(usable, self.outcome["returns"], np.nan),
            volatility=np.where(usable, self.outcome["volatility"], np.nan),
        )


class _Stack(Mapping[str, npt.NDArray[np.float32]]):
    """Columns by name in one array (W, N, p), filled part by part."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.names: list[str] = []
        self.array = np.empty((*shape, 0), dtype=np.float32)

    def put(self, found: Mapping[str, Floats], columns: slice, later: int = 0) -> None:
        """Write columns of some instruments; `later` more will be put for all of them."""
        if not self.names:
            size = (*self.array.shape[:2], len(found) + later)
            self.array = np.empty(size, dtype=np.float32)
        for name, values in found.items():
            if name not in self.names:
                self.names.append(name)
            self.array[:, columns, self.names.index(name)] = values

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return self.array[:, :, self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def mean_of_usable(values: Reals, usable: npt.NDArray[np.bool_]) -> Floats:
    """Mean (W, 1) over the instruments that are usable in the week; 0 where none is."""
    # Multiples of 2^-30 add up exactly: an instrument that comes later changes no bit before it.
    steps = np.round(np.where(usable, values, 0.0).astype(np.float64) * 2.0**30)
    total = steps.sum(axis=1) / 2.0**30
    return np.asarray(total / np.maximum(usable.sum(axis=1), 1))[:, None]


def _outcome(daily: Daily, at: Rows) -> Columns:
    """Close and variances at the origins, and what followed them (NaN beyond the panel)."""
    year = year_variance(daily, at)
    floor = FLOOR**2 * year
    inside = at + HORIZON < len(daily.close)
    after = at[inside] + HORIZON
    returns = np.full(year.shape, np.nan)
    volatility = np.full(year.shape, np.nan)
    with np.errstate(invalid="ignore"):
        returns[inside] = np.log(daily.close[after] / daily.close[at[inside]])
    # The mean of two estimates of the same volatility is less noisy than either.
    estimates = [
        log_deviation(Sums(values, after).mean(HORIZON, enough=0.6), floor[inside])
        for values in (daily.variance, daily.range_variance)
    ]
    volatility[inside] = (estimates[0] + estimates[1]) / 2
    return {
        "close": daily.close[at],
        "year": year,
        "ewma": ewma_variance(daily, at),
        "returns": returns,
        "volatility": volatility,
    }
