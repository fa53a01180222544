"""The daily volatilities of each instrument by day of the week, as univariate models read them.

Made once of a read and shared by every cut of its panel: a cut drops rows, not their past. Whoever
asks gives the session he stands at and gets nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
DAYS = 5
"""Of a week. A week's slots are Monday to Friday; a Saturday takes the next Monday's and a Sunday
the last Friday's, which are free where trading goes from Tuesday to Saturday or Sunday to Thursday.
"""
FIRST_MONDAY = np.datetime64("1900-01-01", "D")
WINDOW = 100 * DAYS
"""Slots that are read: a hundred of each day of the week."""
LOWEST = 0.05
"""Share of a year's volatility that no day falls below: keeps logs finite when a price stood."""
YEAR = 250
RANGE_WEIGHT = 2 * float(np.log(2)) - 1
"""Of the squared move from open to close in the estimator of Garman and Klass (1980)."""


@dataclass(frozen=True)
class Slots:
    """Log daily volatility of one instrument.

    Attributes:
        sessions: with a known volatility (n,), in order.
        places: where the value of each is in `values` (n,), never falling.
        values: (m,) slot by slot from a Monday on.
        kept: what a model made of the values up to a place: several refits ask for the same.
    """

    sessions: npt.NDArray[np.datetime64]
    places: npt.NDArray[np.int64]
    values: Floats
    kept: dict[tuple[str, int], Floats] = field(default_factory=dict, compare=False)

    def place(self, session: np.datetime64) -> int:
        """Place of the last value known after `session`; -1 before the first."""
        number = int(np.searchsorted(self.sessions, session, side="right")) - 1
        return int(self.places[number]) if number >= 0 else -1

    def until(self, place: int, most: int) -> Floats:
        """At most `most` values, the last that of `place`."""
        return self.values[max(0, place + 1 - most) : place + 1]


@dataclass(frozen=True)
class History:
    """Series of every instrument in `daily`: instrument_id, session and
    variance (of that day's log return, null or 0 where unknown), in any order."""

    daily: pl.LazyFrame

    @classmethod
    def of_prices(cls, frame: pl.DataFrame) -> History:
        """From instrument_id, session and price_index: squared returns."""
        log = pl.col("price_index").log()
        squared = log.diff().over("instrument_id", order_by="session") ** 2
        return cls(frame.lazy().select("instrument_id", "session", variance=squared))

    @classmethod
    def of_bars(cls, bars: pl.DataFrame) -> History:
        """From bars (wide.BAR_COLUMNS): overnight move and range of the day (Garman, Klass 1980),
        where a bar has all four prices; a squared return where not."""
        close, open_, high, low = (pl.col(name) for name in ("close", "open", "high", "low"))
        before = (close * pl.col("split_factor")).shift().over("instrument_id", order_by="session")
        overnight = (open_ * pl.col("split_factor") / before).log() ** 2
        inside = 0.5 * (high / low).log() ** 2 - RANGE_WEIGHT * (close / open_).log() ** 2
        variance = overnight + inside.clip(0.0)
        squared = (close * pl.col("split_factor") / before).log() ** 2
        known = variance.is_finite().fill_null(False)
        chosen = pl.when(known).then(variance).otherwise(squared)
        return cls(bars.lazy().select("instrument_id", "session", variance=chosen))

    @cached_property
    def by_instrument(self) -> dict[str, Slots]:
        """Instrument -> its series. A slot without a session has the value of the week before."""
        usual = pl.col("variance").rolling_mean(YEAR, min_samples=1).over("instrument_id")
        lowest = LOWEST**2 * usual
        frame = (
            self.daily.filter(pl.col("variance").is_finite())
            .sort("instrument_id", "session")
            .with_columns(volatility=pl.max_horizontal("variance", lowest).log() / 2)
            # Single precision: the last bits of the warehouse's sums change no forecast.
            .select("instrument_id", "session", pl.col("volatility").cast(pl.Float32))
            .filter(pl.col("volatility").is_finite())
            .collect()
        )
        parts = frame.partition_by("instrument_id", as_dict=True, maintain_order=True)
        return {
            str(name): _slots(part["session"].to_numpy(), part["volatility"].to_numpy())
            for (name,), part in parts.items()
        }

    def until(self, instrument_id: str, session: date, most: int) -> Floats:
        """At most `most` log daily volatilities, none of them of after `session`; empty where the
        instrument has none by then."""
        series = self.by_instrument.get(instrument_id)
        if series is None:
            return np.empty(0)
        return series.until(series.place(np.datetime64(session, "D")), most)


def _slots(sessions: npt.NDArray[np.datetime64], values: npt.NDArray[np.float32]) -> Slots:
    """Values (n,) of sessions at their slots, holes filled from the same day of weeks before."""
    sessions = sessions.astype("datetime64[D]")
    week, day = np.divmod((sessions - FIRST_MONDAY).astype(np.int64), 7)
    # Never falling, so that nothing of a later session stands at or before an earlier one's place.
    natural = np.maximum.accumulate(DAYS * week + np.where(day == 6, 4, day))
    places = natural - natural[0] // DAYS * DAYS
    weeks = np.full((int(places[-1]) // DAYS + 1, DAYS), np.nan)
    # Backwards: where two sessions share a slot the earlier stays, for it can't know the later.
    weeks.reshape(-1)[places[::-1]] = values[::-1]
    known = np.where(np.isfinite(weeks), np.arange(len(weeks))[:, None], -1)
    last = np.maximum.accumulate(known, axis=0)
    # A day of the week that has not come yet takes the first value there is.
    filled = np.where(last >= 0, weeks[last, np.arange(DAYS)], float(values[0]))
    return Slots(sessions, places, filled.reshape(-1)[: int(places[-1]) + 1])
