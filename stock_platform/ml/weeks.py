"""Weeks of a calendar: the origin of a week, the targets after it, and when they are known.

Sessions come from the warehouse's `reference_sessions`; nothing here knows a holiday by itself.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from stock_platform.errors import PlatformError

SESSION_COLUMNS = ["calendar", "session", "session_number", "open_at", "close_at"]


def monday_of(day: date) -> date:
    """The Monday of the ISO week that holds `day`: the partition key of that week."""
    return day - timedelta(days=day.weekday())


class Weeks:
    """Origins and targets of every calendar."""

    def __init__(self, sessions: pl.DataFrame) -> None:
        """Take SESSION_COLUMNS, one row per calendar and session, past the last origin wanted."""
        self.sessions = sessions.select(SESSION_COLUMNS).sort("calendar", "session_number")
        self._origin: dict[tuple[str, date], date] = {}
        self._number: dict[tuple[str, date], int] = {}
        self._session: dict[tuple[str, int], date] = {}
        self._open: dict[tuple[str, int], datetime] = {}
        self._close: dict[tuple[str, date], datetime] = {}
        for calendar, session, number, open_at, close_at in self.sessions.iter_rows():
            self._origin[calendar, monday_of(session)] = session
            self._close[calendar, monday_of(session)] = close_at
            self._number[calendar, session] = number
            self._session[calendar, number] = session
            self._open[calendar, number] = open_at

    @property
    def calendars(self) -> list[str]:
        """Codes of the calendars known here."""
        return self.sessions["calendar"].unique().sort().to_list()

    def origin(self, calendar: str, monday: date) -> date | None:
        """Last session of the week, or None when the week has no session."""
        return self._origin.get((calendar, monday))

    def close(self, calendar: str, monday: date) -> datetime | None:
        """Close (UTC) of the last session of the week, or None when the week has no session."""
        return self._close.get((calendar, monday))

    def target(self, calendar: str, origin: date, horizon: int) -> date:
        """The `horizon`-th session after `origin`.

        Raises:
            PlatformError: the calendar does not reach that far.
        """
        return self._session[calendar, self._reach(calendar, origin, horizon)]

    def deadline(self, calendar: str, origin: date) -> datetime:
        """Opening (UTC) of the first session after `origin`: a forecast must be made before it.

        Raises:
            PlatformError: the calendar does not reach that far.
        """
        return self._open[calendar, self._reach(calendar, origin, 1)]

    def _reach(self, calendar: str, origin: date, sessions: int) -> int:
        number = self._number.get((calendar, origin), -1) + sessions
        if (calendar, origin) not in self._number or (calendar, number) not in self._session:
            raise PlatformError(
                f"calendar {calendar} has no session {sessions} after {origin}: extend "
                "reference_sessions (it should reach a year ahead of the last bar)"
            )
        return number

    def origins_frame(self) -> pl.DataFrame:
        """Columns calendar, session, week (Monday): one row per calendar and week with sessions."""
        return (
            self.sessions.with_columns(week=pl.col("session").dt.truncate("1w"))
            .group_by("calendar", "week")
            .agg(pl.col("session").max())
        )


def read_weeks(client: Any) -> Weeks:
    """Read the sessions of every calendar from the warehouse."""
    names = ", ".join(SESSION_COLUMNS)
    table = client.query_arrow(f"SELECT {names} FROM market.reference_sessions")  # noqa: S608
    frame = pl.DataFrame(pl.from_arrow(table)).with_columns(
        pl.col("session").cast(pl.Date),
        pl.col("session_number").cast(pl.Int64),
        pl.col("calendar").cast(pl.String),
        pl.col("open_at", "close_at").cast(pl.Datetime("us", "UTC")),
    )
    return Weeks(frame)
