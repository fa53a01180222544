"""Daily and weekly partitions with ONE start date, so that a range is always one backfill.

A daily key is a calendar day; a weekly key is the Monday of the week whose last session is the
forecast's origin. No other module defines a partition.
"""

from datetime import date, timedelta

import dagster as dg

START = date(2000, 1, 3)
"""A Monday: the first daily and the first weekly partition of every asset."""

daily = dg.DailyPartitionsDefinition(start_date=START.isoformat(), end_offset=1)
"""One partition per calendar day, today's included: an open session is stored as provisional."""

weekly = dg.WeeklyPartitionsDefinition(start_date=START.isoformat(), day_offset=1, end_offset=1)
"""One partition per Monday, the current week's included: its forecast is due on Friday night."""


def monday(day: date) -> date:
    """The Monday of `day`'s week."""
    return day - timedelta(days=day.weekday())


def days(first: date, last: date) -> list[str]:
    """Daily partition keys from `first` through `last`, cut to the partitions that exist."""
    return _keys(daily, max(first, START), last)


def weeks(first: date, last: date) -> list[str]:
    """Weekly partition keys of the weeks that `first` through `last` touch."""
    return _keys(weekly, max(monday(first), START), last)


def _keys(definition: dg.TimeWindowPartitionsDefinition, first: date, last: date) -> list[str]:
    low, high = first.isoformat(), last.isoformat()
    return [key for key in definition.get_partition_keys() if low <= key <= high]
