"""Every candidate by name. A new one is a file here and a line in `all_candidates`."""

from __future__ import annotations

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import Candidate

BASELINE = "random_walk"
"""Uncalibrated; every skill is measured against it."""
INITIAL_CHAMPION = "random_walk_calibrated"
"""The champion of a pool until something beats it."""


def all_candidates() -> list[Candidate]:
    """The candidates a refit fits, in the order their versions are registered."""
    from stock_platform.ml.calibration import Calibrated
    from stock_platform.ml.candidates.blend import Blend
    from stock_platform.ml.candidates.boosting import Boosting
    from stock_platform.ml.candidates.ewma import Ewma
    from stock_platform.ml.candidates.forest import Forest
    from stock_platform.ml.candidates.har import Har
    from stock_platform.ml.candidates.linear import Linear
    from stock_platform.ml.candidates.random_walk import RandomWalk, RandomWalkScale
    from stock_platform.ml.candidates.stack import Stack

    return [
        RandomWalk(),
        Calibrated(RandomWalkScale()),
        Calibrated(Ewma()),
        Calibrated(Linear()),
        Calibrated(Har()),
        Calibrated(Forest()),
        Calibrated(Boosting()),
        Calibrated(Blend()),
        Calibrated(Stack()),
    ]


def by_name(name: str) -> Candidate:
    """The candidate called `name`.

    Raises:
        PlatformError: this code has no such candidate.
    """
    for candidate in all_candidates():
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in all_candidates())
    raise PlatformError(f"unknown candidate {name!r}: this version of the code has {known}")
