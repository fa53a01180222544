"""Exchange calendars: which days are sessions, when they open and close, how they are numbered.

What lives here is a thin, cached reading of `exchange_calendars`, which knows every calendar but
`CBR` (`calendar_cbr.py`). No trading day is decided anywhere else. What does not: which sessions an
instrument is expected to have (`sources/base.py`), and whether bars agree (`calendars_check.py`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from stock_platform import calendar_cbr
from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    import polars as pl
    from exchange_calendars import ExchangeCalendar

EPOCH = date(1990, 1, 1)
"""Session numbers count from the first session on or after this day (or, where a calendar is known
only from a later day, such as XTKS from 1997, from that day). It never moves, so numbers are stable
when the calendar grows at its end."""

YEARS_AHEAD = 2
"""A calendar is built through the end of the year this many years from now."""

WEEK = 5
"""Sessions of a usual week."""

LEAST_AHEAD = timedelta(days=21)
"""How far a calendar has to reach past the last session in use: a forecast's target is the fifth
session after it, and the longest closures (the golden weeks of China) last ten days."""


class CalendarError(PlatformError):
    """A calendar is unknown, ends too early, or has no session on a day."""


def sessions(calendar: str, first: date, last: date) -> list[date]:
    """The sessions of `calendar` from `first` to `last`, both included, in order.

    Raises:
        CalendarError: the calendar is unknown, or the range leaves the days it covers.
    """
    days = _days(calendar)
    if last < first:
        return []
    _check_range(calendar, first, last)
    return days[bisect_left(days, first) : bisect_right(days, last)]


def session_close(calendar: str, session: date) -> datetime:
    """The moment (UTC) at which `session` closes; early closes are honoured.

    Raises:
        CalendarError: the calendar is unknown, or `session` is a day on which it is closed.
    """
    days = _days(calendar)
    place = bisect_left(days, session)
    if place == len(days) or days[place] != session:
        raise CalendarError(
            f"{session} is no session of calendar {calendar}: use one of its open days"
        )
    close: datetime = _table(calendar)["close_at"][place]
    return close


def session_table(calendar: str, first: date, last: date) -> pl.DataFrame:
    """One row per session from `first` to `last`, in order.

    Returns:
        calendar (str), session (date), session_number (int64, 0 = first session since `EPOCH`),
        open_at and close_at (UTC, microseconds), days_ahead (int64): calendar days to the fifth
        session after it by the regular holidays. Closures that exchange_calendars calls ad hoc
        count as sessions there, so that a feature made of it never knows more than people did; of
        some exchanges (XTKS, XHKG) a few of them had been announced.

    Raises:
        CalendarError: the calendar is unknown, or the range leaves the days it covers.
    """
    import polars as pl

    if first <= last:
        _check_range(calendar, first, last)
    return _table(calendar).filter(pl.col("session").is_between(first, last))


def time_zone(calendar: str) -> str:
    """The exchange's time zone, such as `America/New_York`."""
    return _built(calendar, datetime.now(UTC).year)[1]


def bounds(calendar: str) -> tuple[date, date]:
    """The first and the last day that `calendar` covers."""
    return _built(calendar, datetime.now(UTC).year)[2]


def check_reach(calendar: str, last: date) -> None:
    """Refuse a calendar that ends too soon after `last`, the last session in use.

    exchange_calendars knows some exchanges only through the current year (XBOM, XSES, XSHG): later
    days would be neither expected nor a target, and nobody would see them missing.

    Raises:
        CalendarError: it names the calendar and the mend.
    """
    _, end = bounds(calendar)
    if end < last + LEAST_AHEAD:
        raise CalendarError(
            f"calendar {calendar} is known only through {end}, less than {LEAST_AHEAD.days} days "
            f"after {last}: install a newer {_package(calendar)}, or leave the instruments of "
            f"{calendar} out until there is one"
        )


def ends_soon(codes: Iterable[str], after: date, within: timedelta) -> dict[str, date]:
    """The calendars that end earlier than `within` after a day, and when they end.

    To warn while there is time: `check_reach` refuses them later.
    """
    ends = {code: bounds(code)[1] for code in sorted(set(codes))}
    return {code: end for code, end in ends.items() if end < after + within}


def _table(calendar: str) -> pl.DataFrame:
    return _built(calendar, datetime.now(UTC).year)[0]


@lru_cache(maxsize=64)
def _days_of(calendar: str, year: int) -> list[date]:
    days: list[date] = _built(calendar, year)[0]["session"].to_list()
    return days


def _days(calendar: str) -> list[date]:
    return _days_of(calendar, datetime.now(UTC).year)


def _check_range(calendar: str, first: date, last: date) -> None:
    start, end = bounds(calendar)
    if first < start or last > end:
        raise CalendarError(
            f"calendar {calendar} covers {start} to {end}, not {first} to {last}: "
            f"ask for days within it (a newer {_package(calendar)} package may reach further)"
        )


@lru_cache(maxsize=64)
def _built(calendar: str, year: int) -> tuple[pl.DataFrame, str, tuple[date, date]]:
    """The calendar's table, time zone and bounds, as built in `year` (0.4 s for XNYS)."""
    import polars as pl

    through = date(year + YEARS_AHEAD, 12, 31)
    unforeseen: list[date] = []
    if calendar == calendar_cbr.CODE:
        end = min(through, calendar_cbr.last_day())
        table, zone = calendar_cbr.table(end), calendar_cbr.TIME_ZONE
        covered = calendar_cbr.FIRST, end
    else:
        built, start, end = _build(calendar, EPOCH, through)
        table, zone, covered = _read(built), str(built.tz), (start, end)
        unforeseen = [day.date() for day in built.adhoc_holidays]
    numbered = table.select(
        pl.lit(calendar).alias("calendar"),
        "session",
        pl.int_range(pl.len(), dtype=pl.Int64).alias("session_number"),
        "open_at",
        "close_at",
    )
    ahead = _days_ahead(numbered["session"].to_list(), unforeseen)
    return numbered.with_columns(days_ahead=pl.Series(ahead, dtype=pl.Int64)), zone, covered


def _days_ahead(days: list[date], unforeseen: Iterable[date]) -> list[int]:
    """Calendar days from each session to the fifth announced one after it; a week at the end."""
    closed = {day for day in unforeseen if days[0] < day < days[-1] and day.weekday() < 5}
    announced = sorted(closed.union(days))
    place = {day: number for number, day in enumerate(announced)}
    return [
        (announced[place[day] + WEEK] - day).days if place[day] + WEEK < len(announced) else 7
        for day in days
    ]


def _read(built: ExchangeCalendar) -> pl.DataFrame:
    """session, open_at, close_at of every session."""
    import polars as pl

    return pl.DataFrame(
        {
            "session": built.sessions.to_numpy().astype("datetime64[us]"),
            "open_at": built.opens.dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
            "close_at": built.closes.dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
        }
    ).with_columns(
        pl.col("session").cast(pl.Date), pl.col("open_at", "close_at").dt.replace_time_zone("UTC")
    )


def _build(calendar: str, start: date, end: date) -> tuple[ExchangeCalendar, date, date]:
    """The calendar over [start, end], narrowed to what the package knows of it."""
    import exchange_calendars as xc

    try:
        return xc.get_calendar(calendar, start=str(start), end=str(end)), start, end
    except xc.errors.InvalidCalendarName:
        raise CalendarError(_unknown(calendar)) from None
    except ValueError:
        usual = xc.get_calendar(calendar)
    earliest, latest = usual.bound_min(), usual.bound_max()
    if earliest is not None:
        start = max(start, earliest.date())
    if latest is not None:
        end = min(end, latest.date())
    return xc.get_calendar(calendar, start=str(start), end=str(end)), start, end


def _unknown(calendar: str) -> str:
    from difflib import get_close_matches

    import exchange_calendars as xc

    near = get_close_matches(calendar, xc.get_calendar_names(), n=3)
    return (
        f"unknown calendar {calendar!r}: use a code of the exchange_calendars package or CBR, "
        + (f"perhaps {' or '.join(near)}" if near else "for example XNYS")
    )


def _package(calendar: str) -> str:
    """The package that knows the calendar."""
    return "holidays" if calendar == calendar_cbr.CODE else "exchange_calendars"
