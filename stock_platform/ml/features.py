"""The panel: what a model may read at a decision, as numpy views, and the labels that belong to it.

Features are computed in the warehouse (view `int_features_as_of`); here they are only read,
rounded to float32 and arranged. Those of the wide model are made of the bars (wide.py), as are the
series of univariate ones (history.py). Nothing here looks at a clock except through `as_of`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.history import History
from stock_platform.ml.pools import POOLS
from stock_platform.ml.weeks import Weeks
from stock_platform.ml.wide import Wide, read_bars, wide_features

Clock = Literal["available_at", "known_at"]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Arrays = dict[str, Floats]
"""Fitted parameters by name; float64 only, so that they serialise one way (see serialise.py)."""

HORIZONS = (1, 2, 3, 4, 5)
"""Sessions ahead."""
H = len(HORIZONS)

MIN_HISTORY_SESSIONS = 260
"""Bars an instrument needs before it is forecast or trained on: a year, the longest window."""

VOLATILITIES = [
    *(f"feature_vol_{window}" for window in (1, 5, 22, 60, 250)),
    "feature_ewma_vol",
    *(f"feature_gk_vol_{window}" for window in (5, 22, 60)),
    "feature_parkinson_vol_22",
    "feature_rs_vol_5",
    "feature_rs_vol_22",
    "feature_overnight_vol_22",
    "feature_neg_semivol_22",
    "feature_pos_semivol_22",
    "feature_market_vol_22",
    "feature_sector_vol_22",
]
RETURNS = ["feature_ret_1", "feature_ret_5", "feature_ret_22"]
RANKS = [f"feature_rank_{name}" for name in ("vol_22", "ret_5", "ret_22", "volume_ratio")]
CALENDAR = ["feature_days_ahead", "feature_month_end"]
FEATURES = [*VOLATILITIES, *RETURNS, "feature_volume_ratio", *RANKS, *CALENDAR]
"""Columns of the feature tables that models read. Volatilities and returns in daily log units."""

KEYS = ["instrument_id", "symbol", "calendar", "asset_class", "currency"]
COLUMNS = [
    *KEYS,
    "session",
    "session_number",
    "close_traded",
    "price_index",
    "history_sessions",
    "available_at",
    *FEATURES,
]


@dataclass(frozen=True)
class Forward:
    """What followed each row: log returns (n, 5) to horizons 1..5 and the sessions they end on.

    NaN and NaT where the instrument has no bar on the target session.
    """

    returns: Floats
    targets: npt.NDArray[np.datetime64]


class Fits(Protocol):
    """What `Panel.once` needs of a model (candidates/base.py)."""

    name: str
    params: Mapping[str, float | int | str]

    def fit(self, panel: Panel, as_of: date) -> Arrays:
        """Parameters from what was known at `as_of`."""
        ...


@dataclass(frozen=True)
class Panel:
    """Rows instrument x session, sorted by (instrument_id, session_number); arrays are views.

    Attributes:
        frame: one row each.
        pools: features of the wide model (wide.py) by pool, `wide_row` of the frame pointing into
            them; empty for a panel without bars.
        cut: last session kept by `until`; None for all.
        fits: what `once` has made of this panel and of its beginnings.
        history: the past of every row, whatever rows were cut off; None where only rows were given.
    """

    frame: pl.DataFrame
    pools: Mapping[str, Wide] = field(default_factory=dict, repr=False)
    cut: date | None = None
    fits: dict[tuple[object, ...], Arrays] = field(default_factory=dict, repr=False, compare=False)
    history: History | None = field(default=None, repr=False)

    @classmethod
    def build(cls, frame: pl.DataFrame, weeks: Weeks | None) -> Panel:
        """Check, type and sort a frame with COLUMNS and mark the rows that are origins (none are
        marked without `weeks`).

        Features are rounded to float32, so that the last bits of a parallel sum in the warehouse
        change no model and no digest.

        Raises:
            PlatformError: a column is missing.
        """
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise PlatformError(f"the features lack {', '.join(missing)}: build the marts again")
        typed = frame.select(
            *(pl.col(name).cast(pl.String) for name in KEYS),
            pl.col("session").cast(pl.Date),
            pl.col("session_number", "history_sessions").cast(pl.Int64),
            pl.col("close_traded", "price_index").cast(pl.Float64),
            pl.col("available_at").cast(pl.Datetime("us", "UTC")),
            *(pl.col(name).cast(pl.Float32).fill_null(np.nan) for name in FEATURES),
            week=pl.col("session").cast(pl.Date).dt.truncate("1w"),
        )
        marked = typed.with_columns(is_origin=pl.lit(False))
        if weeks is not None:
            origins = weeks.origins_frame().select("calendar", "session", is_origin=pl.lit(True))
            marked = typed.join(origins, on=["calendar", "session"], how="left").with_columns(
                pl.col("is_origin").fill_null(False)
            )
        # A number of the instrument that no listing of another one changes.
        names = typed["instrument_id"].unique()
        turns = [crc32(name.encode()) for name in names]
        placed = marked.with_columns(
            turn=pl.col("instrument_id").replace_strict(names, turns, return_dtype=pl.Int64),
            wide_row=pl.lit(None, pl.Int64),
        )
        ordered = placed.sort("instrument_id", "session_number")
        return cls(ordered, history=History.of_prices(ordered))

    def __len__(self) -> int:
        return self.frame.height

    def rows(self, mask: Mask) -> Panel:
        """The rows where `mask` (n,) is true, in the same order."""
        return replace(self, frame=self.frame.filter(pl.Series(mask)), fits={})

    def until(self, session: date) -> Panel:
        """The rows up to and including `session`."""
        kept = self.frame.filter(pl.col("session") <= session)
        return replace(self, frame=kept, cut=min(session, self.cut or session))

    def where(self, condition: pl.Expr) -> Panel:
        """The rows that fulfil a condition on the frame's columns."""
        return replace(self, frame=self.frame.filter(condition), fits={})

    def with_bars(self, bars: pl.DataFrame) -> Panel:
        """The same rows with the features of the wide model, from bars as of the same moment."""
        instruments = self.frame.select("instrument_id", "calendar", "asset_class").unique()
        pools, places = wide_features(bars, instruments)
        frame = self.frame.drop("wide_row").join(
            places, on=["instrument_id", "session"], how="left", maintain_order="left"
        )
        return Panel(frame, pools, history=History.of_bars(bars))

    def once(self, model: Fits, as_of: date) -> Arrays:
        """What `model` fits on this panel, made once: several candidates rest on the same fit, and
        a refit on one of four refits before, whose panel was a beginning of this one. Rows after
        `as_of` change no fit (see `Candidate.fit`)."""
        if self.cut and as_of > self.cut:
            return model.fit(self, as_of)
        key = (type(model), model.name, *sorted(model.params.items()), as_of)
        if key not in self.fits:
            self.fits[key] = model.fit(self, as_of)
        return self.fits[key]

    @cached_property
    def wide(self) -> Wide | None:
        """The wide model's features of the pool the rows are of; None without bars.

        Raises:
            ValueError: the rows are of several pools.
        """
        pools = {POOLS[name] for name in self.frame["asset_class"].unique()}
        if len(pools) > 1:
            raise ValueError(f"rows of {', '.join(sorted(pools))}: take one pool")
        return self.pools.get(pools.pop()) if pools else None

    @cached_property
    def wide_rows(self) -> npt.NDArray[np.int64]:
        """Row (n,) of `wide` that belongs to each row; -1 where there is none."""
        return self.frame["wide_row"].fill_null(-1).to_numpy()

    @cached_property
    def sessions(self) -> npt.NDArray[np.datetime64]:
        """Session (n,) of each row."""
        return self.frame["session"].to_numpy().astype("datetime64[D]")

    @cached_property
    def weeks(self) -> npt.NDArray[np.datetime64]:
        """Monday of each row's week."""
        return self.frame["week"].to_numpy().astype("datetime64[D]")

    @cached_property
    def origins(self) -> Mask:
        """True on the last session of a week in the row's calendar."""
        return self.frame["is_origin"].to_numpy().astype(bool)

    @cached_property
    def usable(self) -> Mask:
        """True where a model may be fitted or applied: enough history, volatilities known."""
        frame = self.frame
        needed = np.column_stack([frame["feature_vol_250"], frame["feature_ewma_vol"]])
        enough = frame["history_sessions"].to_numpy() >= MIN_HISTORY_SESSIONS
        return np.asarray(enough & np.all(np.isfinite(needed) & (needed > 0), axis=1))

    def feature(self, name: str) -> Floats:
        """One feature (n,) as float64; NaN where its window is not full."""
        return self.frame[name].to_numpy().astype(np.float64)

    @cached_property
    def forward(self) -> Forward:
        """Labels by session number, never by row: a missing bar must not shift a target."""
        n = len(self)
        code = self.frame["instrument_id"].rank("dense").to_numpy().astype(np.int64)
        key = code * 1_000_000 + self.frame["session_number"].to_numpy()
        level = np.log(self.frame["price_index"].to_numpy())
        returns = np.full((n, H), np.nan)
        targets = np.full((n, H), np.datetime64("NaT", "D"))
        for column, horizon in enumerate(HORIZONS):
            place = np.minimum(np.searchsorted(key, key + horizon), n - 1)
            found = key[place] == key + horizon
            returns[found, column] = (level[place] - level)[found]
            targets[found, column] = self.sessions[place][found]
        return Forward(returns, targets)

    def labels(self, as_of: date) -> Floats:
        """Log returns (n, 5) whose target session is not after `as_of`, otherwise NaN (embargo)."""
        return self._embargoed(as_of, slice(None), slice(None))

    def labels_of(self, mask: Mask, as_of: date) -> Floats:
        """The labels (m, 5) of the rows of `mask`."""
        return self._embargoed(as_of, np.flatnonzero(mask), slice(None))

    def matured(self, as_of: date, horizon: int = H) -> Mask:
        """True on usable rows whose `horizon`-session label may be trained on at `as_of`."""
        return self.usable & np.isfinite(self._embargoed(as_of, slice(None), horizon - 1))

    def _embargoed(self, as_of: date, rows: Any, columns: Any) -> Floats:
        matured = self.forward.targets[rows, columns] <= np.datetime64(as_of, "D")
        return np.where(matured, self.forward.returns[rows, columns], np.nan)

    def trainable(self, as_of: date) -> Mask:
        """True on usable rows all of whose labels have matured by `as_of`, found once."""
        if as_of not in self._trainable:
            known = np.isfinite(self.labels(as_of)).all(axis=1)
            self._trainable[as_of] = np.asarray(self.usable & known)
        return self._trainable[as_of]

    @cached_property
    def _trainable(self) -> dict[date, Mask]:
        return {}

    @cached_property
    def week_numbers(self) -> npt.NDArray[np.int64]:
        """Week (n,) of each row, counted from 1900."""
        days = self.weeks - np.datetime64("1900-01-01", "D")
        return np.asarray(days.astype(np.int64) // 7)

    def weeks_of(self, mask: Mask) -> npt.NDArray[np.int64]:
        """The distinct week numbers of the rows of `mask`, in order."""
        return np.flatnonzero(np.bincount(self.week_numbers[mask]))


def realised_volatility(labels: Floats) -> Floats:
    """Root mean square (n,) of the five daily returns behind labels (n, 5); NaN if one lacks."""
    daily = np.diff(labels, axis=1, prepend=0.0)
    return np.asarray(np.sqrt(np.mean(daily**2, axis=1)))


def scale_floor(panel: Panel) -> Floats:
    """Smallest credible daily volatility (n,): keeps logs finite when a price stood still."""
    return 0.05 * panel.feature("feature_vol_250")


def design_matrix(panel: Panel) -> Floats:
    """Regressors (n, 28): log volatilities, returns in units of the EWMA volatility, volume, ranks
    across the calendar, holidays and month end ahead.

    A range estimator that is missing (no high and low that day) falls back to the close-to-close
    volatility of 22 sessions, as does a sector that has none, a missing volume to 0 and a missing
    rank to the middle, so every usable row has all regressors.
    """
    floor, usual = scale_floor(panel), panel.feature("feature_vol_22")
    columns = []
    for name in VOLATILITIES:
        value = panel.feature(name)
        columns.append(np.log(np.maximum(np.where(np.isfinite(value), value, usual), floor)))
    for name, sessions in zip(RETURNS, (1, 5, 22), strict=True):
        unit = panel.feature("feature_ewma_vol") * np.sqrt(sessions)
        columns.append(np.clip(np.nan_to_num(panel.feature(name) / unit), -5.0, 5.0))
    columns.append(np.clip(np.nan_to_num(panel.feature("feature_volume_ratio")), -3.0, 3.0))
    columns += [np.nan_to_num(panel.feature(name), nan=0.5) - 0.5 for name in RANKS]
    columns += [panel.feature("feature_days_ahead") - 7.0, panel.feature("feature_month_end")]
    return np.column_stack(columns)


def read_panel(client: Any, weeks: Weeks, as_of: datetime, clock: Clock) -> Panel:
    """Read the features as they were at `as_of` (UTC) by `clock` from the parameterised view."""
    moment = as_of.strftime("%Y-%m-%d %H:%M:%S.%f")
    names = ", ".join(COLUMNS)
    table = client.query_arrow(
        f"SELECT {names} FROM market.int_features_as_of("  # noqa: S608
        f"as_of='{moment}', clock='{clock}')"
    )
    panel = Panel.build(pl.DataFrame(pl.from_arrow(table)), weeks)
    return panel.with_bars(read_bars(client, as_of, clock))


def origin_rows(panel: Panel, mondays: Sequence[date]) -> Panel:
    """Rows of `panel` that are origins of one of the weeks `mondays`."""
    return panel.where(pl.col("is_origin") & pl.col("week").is_in(list(mondays)))
