"""The interface of a candidate model and what it returns. No model lives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from stock_platform.ml.features import Arrays, Floats, Panel
from stock_platform.ml.quantiles import mean_ratio, probability_of_rise

Params = Mapping[str, float | int | str]


class NotEnoughHistoryError(Exception):
    """The panel is too short for this candidate at this time; it sits this refit out."""


@dataclass(frozen=True)
class Distribution:
    """Forecast log returns of n rows: quantiles (n, 5, 21) by horizon and PROBABILITIES."""

    quantiles: Floats

    @cached_property
    def mean(self) -> Floats:
        """Expected price over origin price (n, 5)."""
        return mean_ratio(self.quantiles)

    @cached_property
    def p_up(self) -> Floats:
        """Probability (n, 5) that the price is above the origin's."""
        return probability_of_rise(self.quantiles)


class Candidate(Protocol):
    """A recipe: how to fit on a panel as of a day, and how to forecast from what was fitted."""

    name: str
    params: Params
    """Settings, part of the model's identity."""

    def fit(self, panel: Panel, as_of: date) -> Arrays:
        """Learn parameters from rows up to `as_of` and labels matured by it; later rows of the
        panel change nothing.

        Raises:
            NotEnoughHistoryError: too few matured weeks.
        """
        ...

    def predict(self, arrays: Arrays, rows: Panel) -> Distribution:
        """Distribution for usable rows; a row's forecast depends on that row and `arrays` only."""
        ...


class ScaleModel(Protocol):
    """What a candidate adds to the shared calibration: where the return lies and how wide."""

    name: str
    params: Params
    """Settings, part of the model's identity."""

    def fit(self, panel: Panel, as_of: date) -> Arrays:
        """As `Candidate.fit`."""
        ...

    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        """Location and positive scale of the log return, each (n, 5)."""
        ...


@dataclass(frozen=True)
class Fitted:
    """A candidate with its parameters: everything needed to forecast."""

    candidate: Candidate
    arrays: Arrays

    def predict(self, rows: Panel) -> Distribution:
        """See `Candidate.predict`."""
        return self.candidate.predict(self.arrays, rows)


def settle(values: npt.ArrayLike, digits: int = 9) -> Floats:
    """Round to significant digits, so that another BLAS kernel gives the same parameters."""
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(divide="ignore"):
        magnitude = np.where(array == 0, 0.0, np.floor(np.log10(np.abs(array))))
    unit = 10.0 ** (digits - 1 - magnitude)
    return np.asarray(np.round(array * unit) / unit)
