"""G8: fetches, revisions and re-runs in any order answer like an oracle that replays the log.

The oracle keeps every observation in a list and searches it; it shares no code with the lake.
"""

import random
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stock_platform.lake import as_of
from stock_platform.lake.difference import difference
from stock_platform.lake.schema import EQUITY_PRICES
from tests.support.lake import MONDAY, SaidSource, Workshop, bar, hour

DAYS = 3
SYMBOLS = "AB"
PRICES = (10.0, 10.00005, 11.0, 12.0)  # the second is the first, re-based


@dataclass(frozen=True)
class Said:
    """One row of one fetch."""

    symbol: str
    day: int
    price: float
    finality: str

    def row(self) -> dict:
        return bar(
            self.symbol, MONDAY + timedelta(days=self.day), self.price, finality=self.finality
        )


row = st.builds(
    Said,
    symbol=st.sampled_from(SYMBOLS),
    day=st.integers(0, DAYS - 1),
    price=st.sampled_from(PRICES),
    finality=st.sampled_from(["provisional", "final", "final"]),
)
fetch = st.lists(row, min_size=1, max_size=5, unique_by=lambda said: (said.symbol, said.day))


@st.composite
def histories(draw):
    """Fetches in order of time, and in what order, how often and how mixed they are loaded."""
    fetches = draw(st.lists(fetch, min_size=1, max_size=4))
    loads = []
    for n in range(len(fetches)):
        loads.append(n)
        # Any fetch of the past may be replayed at any time.
        loads.extend(draw(st.lists(st.integers(0, n), max_size=2)))
    return fetches, loads, draw(st.integers(0, 2**16))


class Oracle:
    """Replays the log of fetches for one key, slowly, by the words of the design."""

    def __init__(self, fetches: list[list[Said]]) -> None:
        self.fetches = fetches

    def versions(self, symbol: str, day: int) -> list[tuple[datetime, datetime, float, str]]:
        """(known_at, available_at, price, finality) of each version of a key."""
        found: list[tuple[datetime, datetime, float, str]] = []
        for n, said in enumerate(self.fetches):
            for one in said:
                if (one.symbol, one.day) != (symbol, day):
                    continue
                if not found:
                    found.append((hour(n), one.row()["available_at"], one.price, one.finality))
                    continue
                _, _, price, finality = found[-1]
                if finality == "final" and one.finality == "provisional":
                    continue
                same = abs(price - one.price) <= 1e-5 * max(price, one.price)
                if same and finality == one.finality:
                    continue
                found.append((hour(n), hour(n), one.price, one.finality))
        return found

    def as_of(self, at: datetime, clock: int) -> dict:
        answer = {}
        for symbol in SYMBOLS:
            for day in range(DAYS):
                known = [v for v in self.versions(symbol, day) if v[clock] <= at]
                if known:
                    last = max(known, key=lambda v: (v[clock], v[0]))
                    answer[symbol, MONDAY + timedelta(days=day)] = last[2:]
        return answer


def ask(select, oracle: Oracle, fetches: int) -> None:
    """Compare every answer there is, by both clocks."""
    for n in range(-1, fetches + 1):
        for column, clock in enumerate(("known_at", "available_at")):
            moments = [hour(n), hour(n - 0.5)]
            if clock == "available_at":
                moments.append(bar(session=MONDAY + timedelta(days=n))["available_at"])
            for at in moments:
                found = select(at, clock).select("symbol", "session", "close", "finality")
                answer = {(row[0], row[1]): row[2:] for row in found.iter_rows()}
                assert answer == oracle.as_of(at, column), (clock, at)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_differences_answer_like_the_oracle(history):
    fetches, loads, _ = history
    stored = EQUITY_PRICES.empty()
    for n in loads:
        said = SaidSource(equity_prices=[one.row() for one in fetches[n]])
        received = said.frames(hour(n))["equity_prices"]
        found = difference(EQUITY_PRICES, received, stored, hour(n))
        assert found.news.height + found.unchanged + found.ignored == received.height
        stored = pl.concat([stored, found.news])
    ask(partial(as_of.select, EQUITY_PRICES, stored), Oracle(fetches), len(fetches))


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_the_lake_answers_like_the_oracle(history):
    through_the_whole_pipeline(*history)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_the_lake_answers_like_the_oracle_at_length(history):
    through_the_whole_pipeline(*history)


def through_the_whole_pipeline(fetches, loads, seed):
    shuffle = random.Random(seed).shuffle
    oracle = Oracle(fetches)
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        for n in loads:
            rows = [said.row() for said in fetches[n]]
            rows += rows[: len(rows) // 2]  # duplicated
            shuffle(rows)  # reordered
            workshop.load(*rows, at=hour(n))
        before = workshop.files()
        ask(partial(workshop.lake.as_of, "equity_prices"), oracle, len(fetches))
        workshop.load(*[said.row() for said in fetches[-1]], at=hour(len(fetches)))
        assert workshop.files() == before
