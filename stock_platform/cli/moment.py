"""A moment, and the clock it is read on, as a person types them on the command line."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from stock_platform.errors import PlatformError


class Clock(StrEnum):
    """Which of a row's clocks says when it was known."""

    known_at = "known_at"
    available_at = "available_at"


ClockOption = Annotated[
    Clock,
    typer.Option(
        "--clock",
        help="When a row was known: known_at, when it was fetched; available_at, when the world "
        "could know it, also where history was fetched late.",
    ),
]


def moment(text: str | None, option: str) -> datetime | None:
    """The moment `text` names, in UTC where it says no zone; None stays None.

    Args:
        text: an ISO date or date and time; a date is its midnight.
        option: the option it was given to, for the error.

    Raises:
        PlatformError: it is neither a date nor a moment.
    """
    if text is None:
        return None
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise PlatformError(
            f"{option} {text!r} is no moment: write 2026-11-20 or 2026-11-20T18:00:00+00:00"
        ) from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)
