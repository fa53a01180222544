"""The days of the Central Bank of Russia, the one calendar that `exchange_calendars` doesn't know.

The bank sets its rates and metal prices on a Russian working day and they are valid from the next
calendar day until replaced. A session here is the first day of validity: Tuesday to Saturday in a
usual week, and no day of the New Year holidays but the one after the year's last working day.

Working days come from the `holidays` package: Monday to Friday without public holidays and days off
transferred to, and Saturdays or Sundays that a decree made working days. The government decrees the
transfers of a year in the year before, so later years are not known at all: what a rule of thumb
would say of them is wrong on a handful of days each year. The calendar therefore ends with the last
year whose transfers the package holds, and a newer package reaches further.

What no list of holidays tells, single days without rates in a working week or rates set on a
"non-working" day (spring 2020), shows as a disagreement (`calendars_check.py`).
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

CODE = "CBR"

TIME_ZONE = "Europe/Moscow"

FIRST = date(1992, 7, 1)
"""The first day with official rates of the present kind."""


def last_day() -> date:
    """The end of the last year whose transferred days off are known."""
    return date(max(_holidays(FIRST.year, FIRST.year).special_public_holidays), 12, 31)


def table(end: date) -> pl.DataFrame:
    """Every session through `end`, which lies not after `last_day`.

    Returns:
        session (date), open_at and close_at (UTC): midnight to midnight in Moscow.
    """
    import polars as pl

    known = _holidays(FIRST.year, end.year)
    one = timedelta(days=1)
    days = [FIRST + one * n for n in range((end - FIRST).days + 1)]
    opened = [day for day in days if known.is_working_day(day - one)]
    midnight = pl.col("session").cast(pl.Datetime("us"))
    return pl.DataFrame({"session": opened}, schema={"session": pl.Date}).with_columns(
        _utc(midnight).alias("open_at"), _utc(midnight.dt.offset_by("1d")).alias("close_at")
    )


def _utc(moment: pl.Expr) -> pl.Expr:
    return moment.dt.replace_time_zone(TIME_ZONE).dt.convert_time_zone("UTC")


def _holidays(first: int, last: int) -> Any:
    import holidays

    return holidays.country_holidays("RU", years=range(first, last + 1))
