"""Where a calendar and the bars of most of its instruments contradict each other.

What lives here compares; a calendar package errs now and then (a day of mourning, a working day
moved), and one instrument's missing bar proves nothing, but most of an exchange's together do. What
does not: the calendars (`calendars.py`), and what is told of it (the assets).
"""

from __future__ import annotations

import polars as pl

from stock_platform import calendars
from stock_platform.universe import Instrument

SAYS_OPEN, SAYS_CLOSED = "calendar_says_open", "calendar_says_closed"

LEAST_INSTRUMENTS = 3
"""With fewer on a calendar their bars are no witness against it: one stray bar would be a half."""

SCHEMA = pl.Schema(
    {
        "calendar": pl.String(),
        "session": pl.Date(),
        "kind": pl.String(),
        "instruments_with_bar": pl.UInt32(),
        "instruments_expected": pl.UInt32(),
    }
)


def disagreements(
    instruments: list[Instrument], seen: pl.DataFrame, expected: pl.DataFrame
) -> pl.DataFrame:
    """The days on which most instruments of a calendar say otherwise than the calendar.

    Args:
        instruments: what the bars may belong to; rows of others are not looked at.
        seen: instrument_id, session of every bar a provider gave, on whichever day, also of those
            quarantined because the calendar is closed.
        expected: instrument_id, session of every bar the calendar asks for and the provider could
            have given: one missing because of an outage, or not yet due, is no witness and has to
            be left out.

    Returns:
        `SCHEMA`, ordered by calendar and session. `calendar_says_open`: a session for which more
        than half of the expected instruments have no bar. `calendar_says_closed`: no session, and
        at least half of the instruments listed on that day have a bar. Both only with
        `LEAST_INSTRUMENTS` or more expected.

    Raises:
        CalendarError: a day lies outside of what a calendar covers.
    """
    listed = pl.DataFrame(
        [(i.instrument_id, i.calendar, i.first_session, i.last_session) for i in instruments],
        schema={
            "instrument_id": pl.String,
            "calendar": pl.String,
            "first_session": pl.Date,
            "last_session": pl.Date,
        },
        orient="row",
    )
    alive = pl.col("session").is_between(
        "first_session", pl.col("last_session").fill_null(pl.date(9999, 12, 31))
    )
    key = ["instrument_id", "session"]
    bars = seen.select(key).unique().join(listed, on="instrument_id").filter(alive)
    asked = expected.select(key).unique().join(listed, on="instrument_id").filter(alive)
    place = ["calendar", "session"]
    opened = (
        asked.join(bars.select(*key, there=pl.lit(True)), on=key, how="left")
        .group_by(place)
        .agg(
            pl.col("there").count().alias("instruments_with_bar"),
            pl.len().alias("instruments_expected"),
        )
        .filter(pl.col("instruments_with_bar") * 2 < pl.col("instruments_expected"))
        .with_columns(pl.lit(SAYS_OPEN).alias("kind"))
    )
    stray = bars.join(_sessions(bars), on=place, how="anti")
    closed = (
        stray.group_by(place)
        .agg(pl.len().alias("instruments_with_bar"))
        .join(listed, on="calendar")
        .filter(alive)
        .group_by(*place, "instruments_with_bar")
        .agg(pl.len().alias("instruments_expected"))
        .filter(pl.col("instruments_with_bar") * 2 >= pl.col("instruments_expected"))
        .with_columns(pl.lit(SAYS_CLOSED).alias("kind"))
    )
    columns = [pl.col(name).cast(kind) for name, kind in SCHEMA.items()]
    return (
        pl.concat([opened.select(columns), closed.select(columns)])
        .filter(pl.col("instruments_expected") >= LEAST_INSTRUMENTS)
        .sort(place)
    )


def _sessions(bars: pl.DataFrame) -> pl.DataFrame:
    """calendar, session of every session in the days that bars of the calendar span."""
    spans = bars.group_by("calendar").agg(
        pl.col("session").min().alias("first"), pl.col("session").max().alias("last")
    )
    tables = [
        calendars.session_table(calendar, first, last) for calendar, first, last in spans.rows()
    ]
    empty = {"calendar": pl.String, "session": pl.Date}
    return pl.concat([pl.DataFrame(schema=empty), *[t.select(*empty) for t in tables]])
