"""What holds for every test."""

from pathlib import Path

import pytest

COVERED = tuple(
    Path(__file__).parent / place
    for place in ("unit/lake", "unit/sources", "integration/lake", "unit/test_calendars.py")
)
"""Where the packages that have a floor of coverage (pyproject.toml) are tested."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measuring coverage costs a test 40 % of its time: only where it counts."""
    for item in items:
        if not any(item.path.is_relative_to(place) for place in COVERED):
            item.add_marker("no_cover")
