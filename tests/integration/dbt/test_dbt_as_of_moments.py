"""The slow oracle: marts as of many moments, by both clocks, equal what there was then.

By `known_at` what there was is what the platform had built at the moment. By `available_at`, a past
that never went by, it is a build on staging and a ledger cut by hand.
"""

from __future__ import annotations

import pytest

from tests.support import bitemporal
from tests.support.bitemporal import at
from tests.support.dbt_project import Project
from tests.support.marts import LAST, THEN, build_as_of, cut, differing, grow_through, kept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_as_known(project: Project) -> None:
    project.variables["DBT_SOURCE"] = bitemporal.SOURCE
    moments = [at(2, 1), at(2, 3), at(2, 5, 18), at(2, 7, 23), at(2, 8), LAST]
    grow_through(project, moments)
    for moment in moments[:-1]:
        build_as_of(project, moment, "known_at")
        assert differing(project, kept(moment)) == {}, moment


def test_as_available(project: Project) -> None:
    project.variables["DBT_SOURCE"] = bitemporal.SOURCE
    grow_through(project, [LAST])
    for moment in [at(1, 2), at(1, 15, 18), at(1, 22, 18), at(2, 6, 18), at(2, 7, 23), at(2, 9)]:
        build_as_of(project, moment, "available_at")
        with cut(project, moment):
            assert differing(project, "unit") == {}, moment
        if moment == at(2, 6, 18):
            # Told on the 7th: the world knew of the dividend in January, nobody of B's split.
            assert project.rows(
                "SELECT instrument_id, max(split_factor),"
                " max(total_return_factor / split_factor) > 1"
                f" FROM {THEN}.int_daily_prices GROUP BY instrument_id ORDER BY instrument_id"
            ) == [("A", 2, 1), ("B", 1, 1), ("C", 1, 0), ("D", 1, 0)]
