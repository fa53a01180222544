"""The features of the wide model for the rows of a panel: ml/weekly on bars read as of a moment.

Computed per pool and calendar, whose instruments share their market and their weeks. Features of an
origin depend on bars up to it only, so a panel cut to an earlier moment keeps the ones it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.ml.pools import POOLS
from stock_platform.ml.weekly.bars import Bars
from stock_platform.ml.weekly.features import HORIZON, Weekly, weekly_panel
from stock_platform.ml.weekly.scale import Moments

Floats = npt.NDArray[np.float64]
BAR_COLUMNS = [
    "instrument_id",
    "session",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "split_factor",
    "total_return_factor",
]


@dataclass(frozen=True)
class Wide:
    """Features of one pool at m origins, in g weeks of one calendar each, by date of the target.

    Attributes:
        names: of the features (p,).
        x: features (m, p).
        mean: their means (g, p) over the usable instruments of the week.
        week: place (m,) in `mean` of each row.
        volatility: log daily volatility (m,) of the HORIZON sessions after, in the pool's own
            units; NaN where unknown.
        target: last of those sessions (m,); NaT beyond the panel.
    """

    names: Sequence[str]
    x: npt.NDArray[np.float32]
    mean: Floats
    week: npt.NDArray[np.int64]
    volatility: Floats
    target: npt.NDArray[np.datetime64]
    _taken: dict[int, Moments] = field(default_factory=dict, compare=False)

    def moments(self, as_of: date) -> Moments:
        """Sums over the weeks whose target lies at or before `as_of`.

        What several fits share is summed once: from the nearest of those asked for before.
        """
        known = np.isfinite(self.volatility) & (self.target <= np.datetime64(as_of, "D"))
        weeks, begins = np.unique(self.week[known], return_index=True)
        rows = np.flatnonzero(known)
        before = max((count for count in self._taken if count <= len(weeks)), default=0)
        sums = self._taken[before].copy() if before else Moments()
        for part in np.split(rows, begins[1:])[before:] if len(weeks) else []:
            sums.add(self.x[part].astype(np.float64), self.volatility[part])
        self._taken[len(weeks)] = sums
        return sums.copy()


def wide_features(bars: pl.DataFrame, instruments: pl.DataFrame) -> tuple[dict[str, Wide], Any]:
    """Features of every pool, and which row of them belongs to which row of a panel.

    Args:
        bars: BAR_COLUMNS, one row per instrument and session.
        instruments: instrument_id, calendar, asset_class.

    Returns:
        Pool -> features, and a frame instrument_id, session, wide_row.
    """
    told = bars.join(
        instruments.with_columns(pool=pl.col("asset_class").replace_strict(POOLS)),
        on="instrument_id",
    ).select(
        "pool",
        "calendar",
        symbol="instrument_id",
        date="session",
        **{name: pl.col(name) * pl.col("split_factor") for name in ("open", "high", "low")},
        close=pl.col("close") * pl.col("split_factor"),
        adj_close=pl.col("close") * pl.col("total_return_factor"),
        volume=pl.col("volume") / pl.col("split_factor"),
    )
    pools: dict[str, Wide] = {}
    places = [pl.DataFrame(schema=PLACES)]
    for (pool,), own in sorted(told.partition_by("pool", as_dict=True).items()):
        weeklies = [
            weekly_panel(Bars.from_frame(part))
            for _, part in sorted(own.partition_by("calendar", as_dict=True).items())
        ]
        pools[str(pool)], place = _gathered(weeklies)
        places.append(place)
    return pools, pl.concat(places)


PLACES = {"instrument_id": pl.String, "session": pl.Date, "wide_row": pl.Int64}


def _gathered(weeklies: list[Weekly]) -> tuple[Wide, pl.DataFrame]:
    """The usable rows of several calendars' panels, their weeks by date of the target."""
    weeks = [_Week.of(weekly, at) for weekly in weeklies for at in range(weekly.weeks)]
    weeks = sorted((week for week in weeks if len(week.x)), key=lambda week: week.order)
    names = weeklies[0].names
    nothing = np.empty((0, len(names)), dtype=np.float32)
    counts = [len(week.x) for week in weeks]
    wide = Wide(
        names,
        np.concatenate([nothing, *(week.x for week in weeks)]),
        np.array([week.x.mean(axis=0, dtype=np.float64) for week in weeks]),
        np.repeat(np.arange(len(weeks)), counts),
        np.concatenate([np.empty(0), *(week.volatility for week in weeks)]),
        np.repeat(np.array([week.target for week in weeks], dtype="datetime64[D]"), counts),
    )
    place = pl.DataFrame(
        {
            "instrument_id": [name for week in weeks for name in week.instruments],
            "session": np.repeat(
                np.array([week.origin for week in weeks], dtype="datetime64[D]"), counts
            ),
            "wide_row": np.arange(sum(counts)),
        },
        schema=PLACES,
    )
    return wide, place


@dataclass(frozen=True)
class _Week:
    """The usable instruments of one origin."""

    origin: np.datetime64
    target: np.datetime64
    instruments: list[str]
    x: npt.NDArray[np.float32]
    volatility: Floats

    @classmethod
    def of(cls, weekly: Weekly, at: int) -> _Week:
        usable, session = weekly.usable[at], int(weekly.at[at])
        inside = session + HORIZON < len(weekly.sessions)
        return cls(
            weekly.sessions[session],
            weekly.sessions[session + HORIZON] if inside else np.datetime64("NaT", "D"),
            [name for name, is_in in zip(weekly.symbols, usable, strict=True) if is_in],
            weekly.x[at, usable],
            weekly.volatility[at, usable],
        )

    @property
    def order(self) -> tuple[bool, np.datetime64, np.datetime64]:
        """By target, those without one last: what has matured by a day is always a beginning."""
        unknown = bool(np.isnat(self.target))
        return unknown, self.origin if unknown else self.target, self.origin


def read_bars(client: Any, as_of: datetime, clock: str) -> pl.DataFrame:
    """Read the bars as they were at `as_of` (UTC) by `clock` from the parameterised view."""
    moment = as_of.strftime("%Y-%m-%d %H:%M:%S.%f")
    names = ", ".join(BAR_COLUMNS)
    table = client.query_arrow(
        f"SELECT {names} FROM market.int_bars_as_of("  # noqa: S608
        f"as_of='{moment}', clock='{clock}')"
    )
    return pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.col("instrument_id").cast(pl.String), pl.col("session").cast(pl.Date)
    )
