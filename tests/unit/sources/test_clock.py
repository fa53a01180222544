"""A computer whose clock is wrong loads nothing: every row would bear a false `known_at`."""

from datetime import UTC, datetime, timedelta

import pytest

from stock_platform.sources.base import SourceError
from stock_platform.sources.clock import clock_problem, clock_skew, server_date
from tests.support.cbr_server import status
from tests.support.cbr_world import METAL, NOW, Loads, hours

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
DATE = "Sat, 01 Jun 2024 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ({"Date": DATE}, NOON),
        ({"Date": DATE, "Age": "3600"}, NOON + timedelta(hours=1)),  # out of a cache
        ({"Date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_the_providers_clock_is_in_its_headers(headers, moment):
    assert server_date(headers) == moment


def test_five_minutes_are_let_pass_and_more_is_a_problem():
    assert clock_skew(None, NOON) is None
    assert clock_skew(NOON, NOON + timedelta(minutes=4)) == 240.0
    for skew in (None, 300.0, -300.0):
        assert clock_problem(skew, "the bank's") == ""
    assert "6 minutes ahead of the bank's: nothing was loaded" in clock_problem(360, "the bank's")
    assert "6 minutes behind the bank's" in clock_problem(-360, "the bank's")


@pytest.mark.parametrize("minutes", [-6, 6, 60 * 24 * 31])
def test_nothing_of_the_banks_is_loaded_at_a_wrong_moment(loads: Loads, minutes):
    server = loads.bank.server
    server.now = lambda: loads.bank.now - timedelta(minutes=minutes)
    with pytest.raises(
        SourceError, match=r"clock is \d+ minutes .* of 127\.0\.0\.1.*set the clock"
    ):
        loads.run()
    assert not loads.files()
    with pytest.raises(SourceError, match="set the clock"):
        loads.bank.source().check()
    server.now = lambda: loads.bank.now
    loads.run(hours(1))
    # What was answered before the mend is not resumed from: it bears a false moment.
    assert len(server.requests) == 4
    assert loads.lake.as_of(METAL)["known_at"].unique().to_list() == [hours(1)]


def test_a_failure_tells_of_a_wrong_clock_too(loads: Loads):
    loads.bank.server.now = lambda: NOW + timedelta(hours=1)
    loads.bank.server.fail("asp", status(500))
    with pytest.raises(SourceError, match="60 minutes behind"):
        loads.run()
    assert not loads.files()


def test_a_small_difference_of_clocks_is_let_pass(loads: Loads):
    loads.bank.server.now = lambda: NOW + timedelta(minutes=4)
    assert loads.run().rows_written > 0
