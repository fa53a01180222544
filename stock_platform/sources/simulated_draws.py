"""Random numbers of the simulated market: who its instruments are, and what each year draws.

What lives here are the streams. What does not: what is made of them (`simulated_market.py`). Every
instrument has its own stream for every calendar year, so it is the same whatever the number of
instruments, and a day is the same whatever comes after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SLOTS = 262
"""Draws per instrument and calendar year: no year has more weekdays."""

YEAR = 252
DEGREES_OF_FREEDOM = 6
MARKET_STREAM = 0
TRAITS_BLOCK = 0

DIVIDEND_SESSIONS = 63
"""An instrument that pays goes ex once in so many sessions."""

SHARE_LISTED_LATER = 0.2
LATEST_LISTING = 200
MEAN_LIFE_YEARS = 60
SHORTEST_LIFE = 300
"""Which share of instruments is listed after the market's first session and how many sessions after
at most; how long they live on average, and in sessions at least."""


@dataclass(frozen=True)
class Traits:
    """What an instrument is, one value each: fixed by seed and instrument alone.

    Attributes:
        listed, delisted: sessions since the market's first; its first and its last bar.
        split_above, split_below: a close beyond is followed by a split or a reverse split.
        yield_: dividends a year per price, 0 for none.
        phase: session of the quarter with its ex-date.
    """

    beta: Floats
    own_variance: Floats
    drift: Floats
    first_price: Floats
    split_above: Floats
    split_below: Floats
    yield_: Floats
    phase: NDArray[np.int64]
    log_volume: Floats
    listed: NDArray[np.int64]
    delisted: NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """A year's random numbers: by slot and instrument, so that a session's row is contiguous."""

    market: Floats
    own: Floats
    gap: Floats
    extremes: Floats
    volume: Floats
    chance: Floats

    @classmethod
    def of(cls, seed: int, count: int, year: int) -> Draws:
        """The draws of `count` instruments in a calendar year."""
        import numpy as np

        own, gap, volume = (np.empty((count, SLOTS)) for _ in range(3))
        uniform = np.empty((count, 5, SLOTS))
        for i in range(count):
            stream = _stream(seed, i + 1, year)
            own[i] = stream.standard_t(DEGREES_OF_FREEDOM, SLOTS)
            gap[i] = stream.standard_normal(SLOTS)
            volume[i] = stream.standard_normal(SLOTS)
            uniform[i] = stream.random((5, SLOTS))
        unit = math.sqrt((DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM)
        by_slot = np.ascontiguousarray(uniform.transpose(1, 2, 0))
        market = _stream(seed, MARKET_STREAM, year).standard_t(DEGREES_OF_FREEDOM, SLOTS)
        return cls(
            market=market * unit,
            own=np.ascontiguousarray(own.T) * unit,
            gap=np.ascontiguousarray(gap.T),
            extremes=by_slot[:2],
            volume=np.ascontiguousarray(volume.T),
            chance=by_slot[2:],
        )


def _stream(seed: int, stream: int, block: int) -> np.random.Generator:
    """Numbers of one instrument (or the market) in one calendar year (or for its traits)."""
    import numpy as np

    # the counter's high word keeps the years of one key apart: no year draws 2**192 numbers
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, block]))


def draw_traits(seed: int, count: int) -> Traits:
    """The traits of the first `count` instruments."""
    import numpy as np

    uniform, normal = np.empty((8, count)), np.empty((3, count))
    for i in range(count):
        stream = _stream(seed, i + 1, TRAITS_BLOCK)
        uniform[:, i], normal[:, i] = stream.random(8), stream.standard_normal(3)
    listed = np.where(
        uniform[0] < SHARE_LISTED_LATER, 1 + np.floor(uniform[1] * LATEST_LISTING), 0
    ).astype(np.int64)
    life = SHORTEST_LIFE - MEAN_LIFE_YEARS * YEAR * np.log1p(-uniform[2])
    first_price = np.round(np.exp(3.5 + 0.7 * normal[2]), 2)
    yearly_volatility = 0.15 + 0.30 * uniform[3]
    return Traits(
        beta=np.clip(1 + 0.3 * normal[0], 0.2, 2.0),
        own_variance=yearly_volatility**2 / YEAR,
        drift=0.09 / YEAR + 0.02 / YEAR * normal[1],
        first_price=first_price,
        split_above=first_price * (1.5 + 1.5 * uniform[4]),
        split_below=first_price * 0.1,
        yield_=np.where(uniform[5] < 0.6, 0.01 + 0.03 * uniform[6], 0.0),
        phase=np.floor(uniform[7] * DIVIDEND_SESSIONS).astype(np.int64),
        log_volume=13 + 1.5 * normal[0] + normal[2] / 2,
        listed=listed,
        delisted=listed + np.floor(life).astype(np.int64),
    )
