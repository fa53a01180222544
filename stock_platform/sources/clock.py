"""Whether our clock and a provider's agree: every row bears the moment at which we learned it.

What lives here compares two clocks. What does not: what a source does about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from stock_platform.sources.fetching import parse_http_date

MAX_SKEW = timedelta(minutes=5)
"""A provider's clock that differs from ours by more makes our `known_at` doubtful."""


def server_date(headers: Mapping[str, str]) -> datetime | None:
    """The provider's clock when it answered us, None when it did not say.

    A cache in between repeats an older Date and adds Age.
    """
    moment = parse_http_date(headers.get("Date"))
    age = headers.get("Age") or ""
    return moment + timedelta(seconds=int(age)) if moment and age.isdigit() else moment


def clock_skew(server: datetime | None, received_at: datetime) -> float | None:
    """Seconds our clock is ahead of the provider's, None when it sent no date."""
    return None if server is None else (received_at - server).total_seconds()


def clock_problem(skew: float | None, whose: str) -> str:
    """What is wrong if our clock differs by `skew` seconds, as any `known_at` would; '' if not.

    Args:
        skew: from `clock_skew`.
        whose: the provider, as in "Yahoo's".
    """
    if skew is None or abs(skew) <= MAX_SKEW.total_seconds():
        return ""
    way = "ahead of" if skew > 0 else "behind"
    return (
        f"this computer's clock is {abs(skew) / 60:.0f} minutes {way} {whose}: nothing was "
        "loaded, because every row would bear a false known_at; set the clock (for example by "
        "NTP: `timedatectl set-ntp true`) and load again"
    )
