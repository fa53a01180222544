"""The candidates of a weekly panel: each forecasts how wide the coming week's return will be.

A new one is a class here and a line in `all_models`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from stock_platform.ml.candidates import INITIAL_CHAMPION
from stock_platform.ml.weekly.bars import Floats
from stock_platform.ml.weekly.features import HORIZON, Weekly
from stock_platform.ml.weekly.scale import Moments

ROWS_PER_FEATURE = 30
"""A regression with fewer rows than this per feature sits a refit out."""
MIN_TRAINING_WEEKS = 26
Progress = Callable[[str, int, int], None]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

HAR = (
    *(f"vol_{window}" for window in (1, 5, 22, 60, 250)),
    *(f"range_{window}" for window in (5, 22, 60)),
    "ew_8",
    "falls_22",
    "market_vol_22",
)
"""Heterogeneous autoregression (Corsi 2009) on returns and daily ranges."""


class Model(Protocol):
    """Forecast standard deviations of the log return to the horizon, out of sample."""

    name: str

    def scales(self, weekly: Weekly, refits: Sequence[int], progress: Progress) -> Floats:
        """Scale (W, N); NaN where there is none. A week rests on the last of `refits` (weeks, in
        order) not after it, and a refit on targets matured by its own origin."""
        ...


class RandomWalk(Model):
    """The volatility of the last 250 sessions, calibrated: what speaks until something beats it."""

    name = INITIAL_CHAMPION

    @override
    def scales(self, weekly: Weekly, refits: Sequence[int], progress: Progress) -> Floats:
        return np.asarray(np.sqrt(HORIZON * weekly.year_variance))


class Ewma(Model):
    """RiskMetrics (1996), decay 0.94."""

    name = "ewma"

    @override
    def scales(self, weekly: Weekly, refits: Sequence[int], progress: Progress) -> Floats:
        return np.asarray(np.sqrt(HORIZON * np.maximum(weekly.ewma_variance, 1e-10)))


class Regression(Model):
    """Linear in some features or all of them (scale.py)."""

    def __init__(self, name: str, features: Sequence[str] | None = None) -> None:
        self.name = name
        self._features = features

    @override
    def scales(self, weekly: Weekly, refits: Sequence[int], progress: Progress) -> Floats:
        chosen = weekly.columns(self._features or weekly.names)
        moments = Moments()
        taken = 0
        scale = np.full(weekly.usable.shape, np.nan)
        ends = [*refits[1:], weekly.weeks]
        for done, (begin, end) in enumerate(zip(refits, ends, strict=True)):
            progress(f"refits of {self.name}", done, len(refits))
            for week in range(taken, weekly.matured(begin)):
                known = weekly.usable[week] & np.isfinite(weekly.volatility[week])
                if known.any():
                    moments.add(
                        _chosen(weekly, week, known, chosen), weekly.volatility[week, known]
                    )
            taken = weekly.matured(begin)
            if moments.rows < ROWS_PER_FEATURE * len(chosen):
                continue
            fit = moments.fit()
            for week in range(begin, end):
                usable = weekly.usable[week]
                if usable.any():
                    x = _chosen(weekly, week, usable, chosen)
                    scale[week, usable] = np.exp(fit.log_volatility(x, x.mean(axis=0)))
        progress(f"refits of {self.name}", len(refits), len(refits))
        return np.asarray(np.sqrt(HORIZON) * scale)


def _chosen(weekly: Weekly, week: int, instruments: Mask, columns: Places) -> Floats:
    """Features (n, p) of some instruments of a week, in double precision."""
    return np.asarray(weekly.x[week][instruments][:, columns], dtype=np.float64)


def all_models() -> list[Model]:
    """The candidates, simplest first: of two that are equally good the first is kept."""
    return [RandomWalk(), Ewma(), Regression("har", HAR), Regression("stack")]
