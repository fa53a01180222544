"""What a load asks for and writes, counted; how long it takes is measured by `make bench`."""

from datetime import date

import pytest

from stock_platform.lake import paths
from stock_platform.sources import base
from tests.support.yahoo_market import Cash
from tests.support.yahoo_world import LAST, World, at, instrument, listing, next_day, sessions


@pytest.fixture
def world(tmp_path):
    paid = [Cash(day, 0.25) for day in sessions()[5::21]]
    with World(tmp_path, *[listing(f"S{n:02d}", cash=paid) for n in range(20)]) as running:
        yield running


def test_a_history_costs_a_request_a_symbol_and_an_object_a_session(world):
    days = sessions()
    report = world.load(at(next_day(next_day(LAST))), first=days[0], last=LAST)
    assert world.server.counts() == {"chart": 20, "cookie": 1, "getcrumb": 1}
    paid = days[5::21]
    assert report.objects_written == len(days) + len(paid)
    assert report.rows_written == 20 * (len(days) + len(paid))


def test_a_day_costs_a_request_a_symbol_and_touches_no_other_day(world):
    days = sessions()
    world.load(at(days[-2]), first=days[0], last=days[-2])
    before, asked = world.objects(), world.requests()
    world.load(at(days[-1]))
    assert world.requests() == asked + 20
    now = world.objects()
    assert {name: now[name] for name in before} == before
    touched = {key.session for name in now.keys() - before if (key := paths.parse(name))}
    # The day before was provisional when it was loaded, and is final now.
    assert touched == {days[-2], days[-1]}


def test_expected_sessions_come_in_order():
    """What a payment's session is depends on it. A join lost it once in ten times."""
    ones = [instrument(name, first_session=date(2006, 1, 3)) for name in ("BBB", "AAA")]
    for _ in range(30):
        found = base.expected(ones, date(2006, 1, 3), date(2025, 12, 31), "yahoo")
        assert found.equals(found.sort("instrument_id", "session"))
