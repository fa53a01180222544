"""G8: any interleaving of fetches and re-runs of the simulated provider, with its late bars,
revisions, splits and provisional bars, answers every "as of" like somebody who kept a diary."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stock_platform import calendars
from stock_platform.lake import Lake, ingest
from stock_platform.sources import simulated_log
from stock_platform.sources.simulated import SimulatedSource
from tests.support.lake import settings_in

FIELDS = ("open", "high", "low", "close", "volume")
START = date(2019, 1, 2)
SESSIONS = calendars.sessions("XNYS", START, date(2019, 3, 29))

Version = tuple[datetime, datetime, dict[str, Any]]


@dataclass
class Diary:
    """Every version of every row in the order it was heard, by the simplest rules there are."""

    heard: dict[tuple[Any, ...], list[Version]] = field(default_factory=dict)

    def note(self, dataset: str, row: dict[str, Any], moment: datetime) -> None:
        key = (dataset, row["instrument_id"], row["session"], row.get("action", ""))
        said = {name: row[name] for name in (*FIELDS, "value", "reason", "finality") if name in row}
        versions = self.heard.setdefault(key, [])
        if not versions:
            versions.append((moment, row["available_at"], said))
            return
        before = versions[-1][2]
        if before["finality"] == "final" and said["finality"] == "provisional":
            return
        if not all(_same(before[name], value) for name, value in said.items()):
            versions.append((moment, moment, said))

    def as_of(self, dataset: str, at: datetime, clock: int) -> dict[tuple[Any, ...], Any]:
        found = {}
        for key, versions in self.heard.items():
            known = [version for version in versions if version[clock] <= at]
            if key[0] == dataset and known:
                found[key[1:]] = known[-1][2]
        return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float):
        return abs(one - other) <= 1e-5 * max(abs(one), abs(other))
    return bool(one == other)


fetch = st.tuples(
    st.integers(0, 60 * 24 * 6),  # minutes since the one before: the same evening or days later
    st.integers(0, len(SESSIONS) - 1),
    st.integers(0, len(SESSIONS) - 1),
    st.booleans(),  # told twice
)


def replay(seed: int, fetches: list[tuple[int, int, int, bool]]) -> None:
    market = SimulatedSource(count=5, start=START, years=1, seed=seed)
    diary = Diary()
    moment = datetime(2019, 1, 2, 15, tzinfo=UTC)
    moments = []
    with tempfile.TemporaryDirectory() as folder:
        own = settings_in(Path(folder))
        lake = Lake.open(own)
        for minutes, one, other, twice in fetches:
            moment += timedelta(minutes=minutes, seconds=1)
            first, last = SESSIONS[min(one, other)], SESSIONS[max(one, other)]
            for again in range(1 + twice):
                at = moment + timedelta(seconds=again)
                for dataset, rows in market.extract(first, last, at).tables.items():
                    for row in rows.iter_rows(named=True):
                        diary.note(dataset, row, at)
                ingest.load(market, lake, first, last, settings=own, known_at=at)
                moments.append(at)
        between = [a + (b - a) / 2 for a, b in pairwise(moments)]
        for at in [*moments, *between, moments[0] - timedelta(days=1)]:
            for number, clock in enumerate(("known_at", "available_at")):
                for dataset in ("equity_prices", "corporate_actions", "coverage"):
                    answer = {
                        (r["instrument_id"], r["session"], r.get("action", "")): r
                        for r in lake.as_of(dataset, at, clock).iter_rows(named=True)  # type: ignore[arg-type]
                    }
                    expected = diary.as_of(dataset, at, number)
                    assert answer.keys() == expected.keys(), (dataset, clock, at)
                    for key, said in expected.items():
                        assert said == {name: answer[key][name] for name in said}, (key, clock, at)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 50), fetches=st.lists(fetch, min_size=2, max_size=4))
def test_any_interleaving_answers_like_the_diary(seed, fetches) -> None:
    replay(seed, fetches)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 50), fetches=st.lists(fetch, min_size=3, max_size=7))
def test_any_interleaving_at_length(seed, fetches) -> None:
    replay(seed, fetches)


@pytest.fixture(scope="module", autouse=True)
def an_unreliable_provider():
    """A provider that errs in a tenth of the bars: by itself it would in four of two thousand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated_log, "NEVER", 0.02)
        patch.setattr(simulated_log, "LATE", 0.06)
        patch.setattr(simulated_log, "WRONG", 0.12)
        yield patch
