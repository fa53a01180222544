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
        },
        {
            "calendar": "XLON",
            "session": date(2024, 4, 2),  # Good Friday and Easter Monday lie between
            "session_number": table["session_number"][0] + 1,
            "open_at": datetime(2024, 4, 2, 7, tzinfo=UTC),
            "close_at": datetime(2024, 4, 2, 15, 30, tzinfo=UTC),
        },
    ]
    assert table.schema["open_at"] == pl.Datetime("us", "UTC")
    assert table.schema["session_number"] == pl.Int64


def test_session_numbers_count_from_the_epoch_and_survive_a_longer_calendar() -> None:
    year = datetime.now(UTC).year
    now, later = (calendars._built(code, y)[0] for code, y in (("XNYS", year), ("XNYS", year + 3)))
    assert later.height > now.height + 700
    assert later.head(now.height).equals(now)
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


def test_a_calendar_that_ends_too_soon_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(calendars, "LEAST_AHEAD", timedelta(days=3000))
    with pytest.raises(CalendarError, match=r"known only through .* newer exchange_calendars"):
        calendars._built.__wrapped__("XNYS", datetime.now(UTC).year)


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
