"""Every candidate by name. A new one is a file here and a line in `all_candidates`."""

from __future__ import annotations

from importlib.util import find_spec

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import Candidate

BASELINE = "random_walk"
"""Uncalibrated; every skill is measured against it."""
INITIAL_CHAMPION = "random_walk_calibrated"
"""The champion of a pool until something beats it."""
EXTRAS = {"univariate": "statsforecast"}
"""Candidates that need an optional dependency, which has their name in pyproject.toml -> the module
it brings."""
READ_HISTORY = frozenset({"univariate"})
"""Candidates that read the past of a row beside its features: part of their input's digest."""


def all_candidates() -> list[Candidate]:
    """The candidates a refit fits, in the order their versions are registered; those of an extra
    only where it is installed."""
    from stock_platform.ml.calibration import Calibrated
    from stock_platform.ml.candidates.blend import Blend
    from stock_platform.ml.candidates.boosting import Boosting
    from stock_platform.ml.candidates.ewma import Ewma
    from stock_platform.ml.candidates.forest import Forest
    from stock_platform.ml.candidates.har import Har
    from stock_platform.ml.candidates.linear import Linear
    from stock_platform.ml.candidates.random_walk import RandomWalk, RandomWalkScale
    from stock_platform.ml.candidates.stack import Stack

    candidates: list[Candidate] = [
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
    if find_spec(EXTRAS["univariate"]):
        from stock_platform.ml.candidates.univariate import Univariate

        candidates.append(Calibrated(Univariate()))
    return candidates


def by_name(name: str) -> Candidate:
    """The candidate called `name`.

    Raises:
        PlatformError: this code has no such candidate, or its extra is not installed.
    """
    for candidate in all_candidates():
        if candidate.name == name:
            return candidate
    if name in EXTRAS:
        raise PlatformError(
            f"candidate {name!r} needs {EXTRAS[name]}, which is not installed: "
            f'`.ci/install .venv ".[{name}]"`, in another environment `pip install -c '
            f'constraints.txt ".[{name}]"`'
        )
    known = ", ".join(candidate.name for candidate in all_candidates())
    raise PlatformError(f"unknown candidate {name!r}: this version of the code has {known}")
