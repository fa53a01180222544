"""Most bars of a calendar's instruments against the calendar."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from stock_platform.calendars import CalendarError
from stock_platform.calendars_check import SCHEMA, disagreements
from stock_platform.sources import base
from stock_platform.universe import Instrument

FIRST, LAST = date(2024, 1, 2), date(2024, 1, 19)
HOLIDAY = date(2024, 1, 15)  # Martin Luther King's day
OPEN = date(2024, 1, 9)


def share(number: int, calendar: str = "XNYS", **fields: date) -> Instrument:
    return Instrument(
        instrument_id=f"{calendar}:{number}",
        symbol=str(number),
        name=str(number),
        asset_class="equity",
        calendar=calendar,
        currency="USD",
        sector="",
        **{"first_session": FIRST, **fields},
    )


def bars(*rows: tuple[Instrument, date]) -> pl.DataFrame:
    return pl.DataFrame(
        [(one.instrument_id, day) for one, day in rows],
        schema={"instrument_id": pl.String, "session": pl.Date},
        orient="row",
    )


def judged(
    instruments: list[Instrument],
    *,
    without: list[tuple[Instrument, date]] = (),
    also: list[tuple[Instrument, date]] = (),
    unasked: list[tuple[Instrument, date]] = (),
) -> list[tuple]:
    """Of a provider that has every expected bar but some, and some more."""
    key = ["instrument_id", "session"]
    expected = base.expected(instruments, FIRST, LAST).select(key)
    expected = expected.join(bars(*unasked), on=key, how="anti")
    seen = pl.concat([expected.join(bars(*without), on=key, how="anti"), bars(*also)])
    found = disagreements(instruments, seen, expected)
    assert found.schema == SCHEMA
    return found.rows()


FIVE = [share(n) for n in range(5)]


def test_a_calendar_that_agrees_is_not_told() -> None:
    assert judged(FIVE) == []


def test_a_session_on_which_more_than_half_have_no_bar() -> None:
    assert judged(FIVE, without=[(one, OPEN) for one in FIVE[:3]]) == [
        ("XNYS", OPEN, "calendar_says_open", 2, 5)
    ]
    assert judged(FIVE, without=[(one, OPEN) for one in FIVE[:2]]) == []
    assert judged(FIVE[:4], without=[(one, OPEN) for one in FIVE[:2]]) == []  # just half
    assert judged(FIVE, without=[(one, OPEN) for one in FIVE]) == [
        ("XNYS", OPEN, "calendar_says_open", 0, 5)
    ]


def test_a_closed_day_on_which_at_least_half_have_a_bar() -> None:
    four = FIVE[:4]
    assert judged(four, also=[(one, HOLIDAY) for one in four[:2]]) == [
        ("XNYS", HOLIDAY, "calendar_says_closed", 2, 4)
    ]
    assert judged(FIVE, also=[(one, HOLIDAY) for one in FIVE[:2]]) == []


def test_two_instruments_are_no_witness() -> None:
    two = FIVE[:2]
    assert judged(two, without=[(one, OPEN) for one in two]) == []
    assert judged(two, also=[(one, HOLIDAY) for one in two]) == []


def test_only_instruments_that_are_listed_on_the_day_count() -> None:
    before = date(2024, 1, 5)
    gone = [share(n, last_session=before) for n in range(10, 20)]
    three = FIVE[:3]
    assert judged([*three, *gone], also=[(one, HOLIDAY) for one in three[:2]]) == [
        ("XNYS", HOLIDAY, "calendar_says_closed", 2, 3)
    ]
    # bars of a share that is gone prove nothing
    assert judged([*three, *gone], also=[(one, HOLIDAY) for one in gone]) == []


def test_what_an_outage_took_is_no_witness() -> None:
    lost = [(one, OPEN) for one in FIVE[:4]]
    assert judged(FIVE, without=lost, unasked=lost) == []


def test_each_calendar_is_judged_by_its_own() -> None:
    london = [share(n, "XLON") for n in range(3)]
    found = judged(
        [*FIVE, *london],
        without=[(one, HOLIDAY) for one in london],  # a usual Monday in London
        also=[(one, HOLIDAY) for one in FIVE],
    )
    assert found == [
        ("XLON", HOLIDAY, "calendar_says_open", 0, 3),
        ("XNYS", HOLIDAY, "calendar_says_closed", 5, 5),
    ]


def test_bars_told_twice_and_of_strangers_change_nothing() -> None:
    stranger = share(99)
    also = [(FIVE[0], HOLIDAY)] * 5 + [(stranger, HOLIDAY)] * 5
    assert judged(FIVE, also=also) == []


def test_nothing_seen_and_nothing_expected() -> None:
    assert disagreements([], bars(), bars()).rows() == []


def test_a_bar_beyond_the_calendar_is_refused() -> None:
    far = date(2200, 1, 2)
    with pytest.raises(CalendarError, match="calendar XNYS covers"):
        disagreements(FIVE, bars((FIVE[0], far)), bars())
