from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from stock_platform import calendars
from stock_platform.calendars import CalendarError


def test_sessions_leave_out_weekends_and_holidays() -> None:
    assert calendars.sessions("XNYS", date(2024, 1, 12), date(2024, 1, 17)) == [
        date(2024, 1, 12),
        date(2024, 1, 16),  # the 15th was Martin Luther King's day
        date(2024, 1, 17),
    ]
    assert calendars.sessions("XNYS", date(2024, 1, 13), date(2024, 1, 15)) == []
    assert calendars.sessions("XNYS", date(2024, 1, 2), date(2024, 1, 1)) == []


@pytest.mark.parametrize(
    ("session", "close"),
    [
        (date(2024, 1, 12), datetime(2024, 1, 12, 21, tzinfo=UTC)),
        (date(2024, 7, 12), datetime(2024, 7, 12, 20, tzinfo=UTC)),  # summer time
        (date(2024, 11, 29), datetime(2024, 11, 29, 18, tzinfo=UTC)),  # the early close
    ],
)
def test_close_is_the_exchanges_own_in_utc(session: date, close: datetime) -> None:
    assert calendars.session_close("XNYS", session) == close


@pytest.mark.parametrize("closed", [date(2024, 1, 13), date(2024, 1, 15), date(1950, 1, 3)])
def test_a_closed_day_has_no_close(closed: date) -> None:
    with pytest.raises(CalendarError, match=f"{closed} is no session of calendar XNYS"):
        calendars.session_close("XNYS", closed)


def test_the_table() -> None:
    table = calendars.session_table("XLON", date(2024, 3, 28), date(2024, 4, 2))
    assert table.to_dicts() == [
        {
            "calendar": "XLON",
            "session": date(2024, 3, 28),
            "session_number": table["session_number"][0],
            "open_at": datetime(2024, 3, 28, 8, tzinfo=UTC),
            "close_at": datetime(2024, 3, 28, 16, 30, tzinfo=UTC),
            "days_ahead": 11,
        },
        {
            "calendar": "XLON",
            "session": date(2024, 4, 2),  # Good Friday and Easter Monday lie between
            "session_number": table["session_number"][0] + 1,
            "open_at": datetime(2024, 4, 2, 7, tzinfo=UTC),
            "close_at": datetime(2024, 4, 2, 15, 30, tzinfo=UTC),
            "days_ahead": 7,
        },
    ]
    assert table.schema["open_at"] == pl.Datetime("us", "UTC")
    assert table.schema["session_number"] == pl.Int64


def test_nobody_knew_of_a_closure_that_was_not_announced() -> None:
    """New York closed for four days from 2001-09-11; Thanksgiving was in the calendar."""
    for day, ahead in ((date(2001, 9, 10), 7), (date(2001, 11, 21), 8), (date(2012, 10, 26), 7)):
        assert calendars.session_table("XNYS", day, day)["days_ahead"].to_list() == [ahead], day


def test_session_numbers_count_from_the_epoch_and_survive_a_longer_calendar() -> None:
    year = datetime.now(UTC).year
    now, later = (calendars._built(code, y)[0] for code, y in (("XNYS", year), ("XNYS", year + 3)))
    assert later.height > now.height + 700
    # Only what lies beyond the shorter one's end is not known in it.
    ahead = now.height - calendars.WEEK
    assert later.head(ahead).equals(now.head(ahead))
    assert now["session"][0] == date(1990, 1, 2)
    assert now["session_number"].to_list() == list(range(now.height))
    # written down: a change of the package that moves numbers would be seen here
    assert (
        calendars.session_table("XNYS", date(2013, 3, 1), date(2013, 3, 1))["session_number"][0]
        == 5837
    )


def test_it_reaches_a_year_ahead_and_says_where_it_ends() -> None:
    ahead = datetime.now(UTC).date() + timedelta(days=366)
    assert calendars.sessions("XNYS", ahead, ahead + timedelta(days=7))
    _, end = calendars.bounds("XNYS")
    with pytest.raises(CalendarError, match=f"covers 1990-01-01 to {end}"):
        calendars.sessions("XNYS", date(2024, 1, 1), end + timedelta(days=1))
    with pytest.raises(CalendarError, match="covers 1990-01-01"):
        calendars.session_table("XNYS", date(1989, 12, 31), date(2024, 1, 1))


def test_a_calendar_that_ends_too_soon_is_refused_with_its_name_and_the_mend() -> None:
    _, end = calendars.bounds("XNYS")
    calendars.check_reach("XNYS", end - timedelta(days=21))
    with pytest.raises(CalendarError, match=rf"XNYS .*through {end}.* newer exchange_calendars"):
        calendars.check_reach("XNYS", end - timedelta(days=20))


def test_a_calendar_reaches_as_far_as_the_package_knows_it() -> None:
    import exchange_calendars

    known = exchange_calendars.get_calendar("XSES").bound_max()
    asked = date(datetime.now(UTC).year + calendars.YEARS_AHEAD, 12, 31)
    assert calendars.bounds("XSES")[1] == (min(asked, known.date()) if known else asked)


def test_a_calendar_known_from_a_later_day_starts_there() -> None:
    assert calendars.bounds("XTKS")[0] == date(1997, 1, 1)
    assert (
        calendars.session_table("XTKS", date(1997, 1, 1), date(1997, 1, 31))["session_number"][0]
        == 0
    )


def test_an_unknown_calendar_is_named_with_a_near_one() -> None:
    with pytest.raises(CalendarError, match=r"unknown calendar 'XNSY'.*XNYS"):
        calendars.sessions("XNSY", date(2024, 1, 1), date(2024, 1, 2))


def test_time_zone() -> None:
    assert calendars.time_zone("XNYS") == "America/New_York"


def cbr(first: str, last: str) -> list[str]:
    days = calendars.sessions("CBR", date.fromisoformat(first), date.fromisoformat(last))
    return [day.strftime("%m-%d") for day in days]


@pytest.mark.parametrize(
    ("first", "last", "sessions"),
    [
        # a usual week: what is set from Monday to Friday is valid from Tuesday to Saturday
        ("2025-07-14", "2025-07-20", ["07-15", "07-16", "07-17", "07-18", "07-19"]),
        # as the bank itself answers for these ranges
        ("2026-03-01", "2026-03-05", ["03-03", "03-04", "03-05"]),
        ("2001-03-07", "2001-03-14", ["03-07", "03-08", "03-12", "03-13", "03-14"]),
        # New Year: the day after the last working day, then nothing until after the first one
        ("2023-12-29", "2024-01-11", ["12-29", "12-30", "01-10", "01-11"]),
        ("2025-12-30", "2026-01-13", ["12-30", "12-31", "01-13"]),
        # a working Saturday, and the days off it was moved to
        ("2024-04-27", "2024-05-04", ["04-27", "04-28", "05-03", "05-04"]),
        ("1992-07-01", "1992-07-01", ["07-01"]),
    ],
)
def test_a_session_of_the_central_bank_is_the_day_after_a_working_day(
    first: str, last: str, sessions: list[str]
) -> None:
    assert cbr(first, last) == sessions


@pytest.mark.parametrize("year", range(2006, 2028))
def test_no_rate_begins_within_the_new_year_holidays(year: int) -> None:
    assert cbr(f"{year}-01-02", f"{year}-01-08") == []


def test_the_day_of_the_central_bank_is_midnight_to_midnight_in_moscow() -> None:
    day = date(2026, 3, 3)
    row = calendars.session_table("CBR", day, day).to_dicts()[0]
    assert (row["open_at"], row["close_at"]) == (
        datetime(2026, 3, 2, 21, tzinfo=UTC),
        datetime(2026, 3, 3, 21, tzinfo=UTC),
    )
    assert calendars.session_close("CBR", day) == row["close_at"]
    # Moscow kept summer time all year round from 2011 to 2014, an hour more than today
    assert calendars.session_close("CBR", date(2012, 7, 4)) == datetime(2012, 7, 4, 20, tzinfo=UTC)
    assert calendars.time_zone("CBR") == "Europe/Moscow"


def test_the_calendar_of_the_central_bank_ends_with_what_is_decreed() -> None:
    first, end = calendars.bounds("CBR")
    assert (first, end.strftime("%m-%d")) == (date(1992, 7, 1), "12-31")
    assert end.year <= datetime.now(UTC).year + calendars.YEARS_AHEAD
    table = calendars.session_table("CBR", first, end)
    xnys = calendars.session_table("XNYS", date(2024, 1, 2), date(2024, 1, 2))
    assert table.schema == xnys.schema
    assert table["session_number"].to_list() == list(range(table.height))
    with pytest.raises(CalendarError, match=r"calendar CBR covers 1992-07-01 .* newer holidays"):
        calendars.sessions("CBR", first, end + timedelta(days=1))
    with pytest.raises(CalendarError, match=r"calendar CBR is known only .* install a newer holid"):
        calendars.check_reach("CBR", end)


def test_calendars_that_end_soon_are_told_in_time() -> None:
    _, end = calendars.bounds("CBR")
    codes, half_a_year = ["XNYS", "CBR", "CBR"], timedelta(days=182)
    assert calendars.ends_soon(codes, end - timedelta(days=100), half_a_year) == {"CBR": end}
    assert calendars.ends_soon(codes, end - timedelta(days=182), half_a_year) == {}
