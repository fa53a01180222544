"""The simulated market: price paths with volatility clustering, splits, dividends and delistings.

What lives here is what happened in the market, year by year, vectorised over instruments. What does
not: what a provider said about it and when (`simulated_log.py`), and the random numbers
(`simulated_draws.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from stock_platform import calendars
from stock_platform.sources.simulated_draws import (
    DIVIDEND_SESSIONS,
    YEAR,
    Draws,
    Traits,
    draw_traits,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CALENDAR = "XNYS"

MARKET_VARIANCE = 0.16**2 / YEAR
MARKET_GARCH = (0.04, 0.10, 0.89)
"""alpha, gamma (added after a fall), beta of the market's GJR-GARCH(1,1); Glosten, Jagannathan and
Runkle (1993)."""

OWN_GARCH = (0.06, 0.92)
"""alpha, beta of an instrument's own GARCH(1,1) variance; Bollerslev (1986)."""

OVERNIGHT = 0.25
"""Share of a day's variance that falls between close and open."""

SPLIT_NOTICE = 15
"""Sessions between the close that calls for a split and its ex-date."""


@dataclass(frozen=True)
class State:
    """The market after a session; arrays by instrument."""

    number: int
    market_variance: float
    own_variance: Floats
    close: Floats
    shares: Floats
    notice: NDArray[np.int64]
    ratio: Floats


@dataclass(frozen=True)
class Year:
    """A calendar year of bars; arrays are sessions x instruments.

    Attributes:
        sessions: the year's, from the market's first on.
        numbers: the session's number since the market's first.
        split: ratio new/old with ex-date on that session, else 1. dividend: per share, else 0.
        traded: the instrument is listed and not yet delisted.
        chance: uniform draws, 3 per bar, for the log of what the provider said.
    """

    sessions: list[date]
    numbers: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    split: Floats
    dividend: Floats
    traded: NDArray[np.bool_]
    chance: Floats


@dataclass
class Market:
    """A market of `count` instruments from its first session, computed by year on demand."""

    seed: int
    count: int
    start: date
    _states: dict[int, State] = field(default_factory=dict)
    _last: tuple[int, Year] | None = None

    def __post_init__(self) -> None:
        self.traits = draw_traits(self.seed, self.count)

    def year(self, year: int) -> Year:
        """The bars of a calendar year; states at the turns of years and the last year are kept."""
        if self._last is None or self._last[0] != year:
            begun = [y for y in self._states if y <= year]
            at = max(begun, default=self.start.year)
            while True:
                state, bars = self._play(at, self._states.get(at) or self._first_state())
                self._states[at + 1] = state
                if at == year:
                    break
                at += 1
            self._last = (year, bars)
        return self._last[1]

    def _first_state(self) -> State:
        import numpy as np

        traits = self.traits
        return State(
            number=0,
            market_variance=MARKET_VARIANCE,
            own_variance=traits.own_variance.copy(),
            close=traits.first_price.copy(),
            shares=np.ones(self.count),
            notice=np.zeros(self.count, dtype=np.int64),
            ratio=np.ones(self.count),
        )

    def _play(self, year: int, state: State) -> tuple[State, Year]:
        """One calendar year from the state before it."""
        import numpy as np

        everything = calendars.sessions(CALENDAR, date(year, 1, 1), date(year, 12, 31))
        skipped = sum(session < self.start for session in everything)
        sessions = everything[skipped:]
        draws = Draws.of(self.seed, self.count, year)
        shape = (len(sessions), self.count)
        out = {name: np.empty(shape) for name in ("open", "high", "low", "close", "volume")}
        split, dividend = np.ones(shape), np.zeros(shape)
        begin = state.number
        for i in range(len(sessions)):
            state, bar = _session(state, self.traits, draws, i + skipped)
            for name, values in out.items():
                values[i] = bar[name]
            split[i], dividend[i] = bar["split"], bar["dividend"]
        numbers = np.arange(begin, begin + len(sessions))
        traded = (numbers[:, None] >= self.traits.listed) & (
            numbers[:, None] <= self.traits.delisted
        )
        chance = draws.chance[:, skipped : skipped + len(sessions)]
        return state, Year(
            sessions, numbers, split=split, dividend=dividend, traded=traded, chance=chance, **out
        )


def _session(
    state: State, traits: Traits, draws: Draws, slot: int
) -> tuple[State, dict[str, Floats]]:
    """The next session: its bar, and the state after it."""
    import numpy as np

    # corporate actions that take effect before the open
    effective = state.notice == 1
    split = np.where(effective, state.ratio, 1.0)
    base = state.close / split
    quarter = (state.number % DIVIDEND_SESSIONS) == traits.phase
    dividend = np.where(quarter, np.round(traits.yield_ / 4 * base, 2), 0.0)
    base = base - dividend

    # returns: a common factor and an own part, each with its own clustering variance
    market = math.sqrt(state.market_variance) * float(draws.market[slot])
    own = np.sqrt(state.own_variance) * draws.own[slot]
    variance = traits.beta**2 * state.market_variance + state.own_variance
    total = traits.drift - variance / 2 + traits.beta * market + own
    gap = OVERNIGHT * total + np.sqrt(OVERNIGHT * (1 - OVERNIGHT) * variance) * draws.gap[slot]

    # what is printed: cents, or a hundredth of one below a dollar
    opened, closed = _printed(base * np.exp(gap)), _printed(base * np.exp(total))
    day = np.log(closed / opened)
    # extremes of a Brownian bridge from open to close (Karatzas and Shreve, 4.3.40)
    spread = -2 * (1 - OVERNIGHT) * variance * np.log1p(-draws.extremes[:, slot])
    up, down = (day + np.sqrt(day**2 + spread[0])) / 2, (day - np.sqrt(day**2 + spread[1])) / 2
    high = np.maximum(_printed(opened * np.exp(up)), np.maximum(opened, closed))
    low = np.minimum(_printed(opened * np.exp(down)), np.minimum(opened, closed))

    shares = state.shares * split
    busy = np.log1p(np.abs(total) / np.sqrt(variance))
    volume = np.exp(traits.log_volume + 0.6 * busy + 0.3 * draws.volume[slot]) * shares

    # a split is called by a high or a very low close, and takes effect after its notice
    waiting = np.maximum(state.notice - 1, 0)
    high_enough, too_low = closed > traits.split_above, closed < traits.split_below
    called = (waiting == 0) & (high_enough | too_low)
    ratio = np.where(high_enough, np.where(closed > 2 * traits.split_above, 4.0, 2.0), 0.1)
    alpha, gamma, beta = MARKET_GARCH
    own_alpha, own_beta = OWN_GARCH
    after = replace(
        state,
        number=state.number + 1,
        market_variance=MARKET_VARIANCE * (1 - alpha - gamma / 2 - beta)
        + (alpha + gamma * (market < 0)) * market**2
        + beta * state.market_variance,
        own_variance=traits.own_variance * (1 - own_alpha - own_beta)
        + own_alpha * own**2
        + own_beta * state.own_variance,
        close=closed,
        shares=shares,
        notice=np.where(called, SPLIT_NOTICE, waiting),
        ratio=np.where(called, ratio, state.ratio),
    )
    bar = {
        "open": opened,
        "high": high,
        "low": low,
        "close": closed,
        "volume": np.floor(volume),
        "split": split,
        "dividend": dividend,
    }
    return after, bar


def _printed(price: Floats) -> Floats:
    import numpy as np

    return np.maximum(np.where(price < 1, np.round(price, 4), np.round(price, 2)), 0.0001)
