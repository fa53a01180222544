"""Which instruments can't be forecast in a week, and why. None is left out in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import polars as pl

from stock_platform.ml.features import MIN_HISTORY_SESSIONS, Panel
from stock_platform.ml.weeks import Weeks
from stock_platform.universe import Instrument

REFUSALS = {
    "week": pl.Date,
    "instrument_id": pl.String,
    "symbol": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}


def refused(
    panel: Panel, weeks: Weeks, week: date, instruments: Sequence[Instrument]
) -> list[dict[str, Any]]:
    """Rows of REFUSALS: of `panel` as of the decision of `week`, then of the rest of the universe.

    An instrument of `instruments` that has ended is not expected after its last session.
    """
    ended = {one.instrument_id: one.last_session for one in instruments}
    seen = set(panel.frame["instrument_id"].unique())
    unseen = [one for one in instruments if one.instrument_id not in seen]
    found = [*_without_origin(panel, weeks, week, ended), *_without_bars(unseen, weeks, week)]
    return [dict(zip(REFUSALS, (week, *row), strict=True)) for row in found]


def _without_origin(
    panel: Panel, weeks: Weeks, week: date, ended: dict[str, date | None]
) -> Iterator[tuple[str, str, str, str]]:
    """Instruments with bars: instrument_id, symbol, reason, detail."""
    latest = panel.frame.group_by("instrument_id", maintain_order=True).last()
    columns = latest.select(
        *("instrument_id", "symbol", "calendar", "session", "week"),
        *("is_origin", "history_sessions"),
    )
    usable = Panel(latest.select(panel.frame.columns)).usable
    for row, fit in zip(columns.iter_rows(named=True), usable, strict=True):
        at_origin = row["is_origin"] and row["week"] == week
        origin = weeks.origin(row["calendar"], week)
        end = ended.get(row["instrument_id"]) or date.max
        if (at_origin and fit) or origin is None or (end < origin and not at_origin):
            continue
        reason, detail = refusal(at_origin, row["session"], row["history_sessions"])
        yield row["instrument_id"], row["symbol"], reason, detail


def refusal(at_origin: bool, last_bar: date, bars: int) -> tuple[str, str]:
    """Why an instrument with bars isn't forecast: the reason's name, and a detail for people.

    Args:
        at_origin: its last bar is of the week's last session.
        last_bar: session of that bar.
        bars: how many it has.
    """
    if not at_origin:
        return "origin_missing", f"its last bar is of {last_bar}"
    if bars < MIN_HISTORY_SESSIONS:
        return "history_too_short", f"{bars} bars, {MIN_HISTORY_SESSIONS} needed"
    return "features_missing", "no volatility of 250 sessions: bars are missing"


def _without_bars(
    unseen: Sequence[Instrument], weeks: Weeks, week: date
) -> Iterator[tuple[str, str, str, str]]:
    """Instruments that were listed at the origin of their calendar and never had a bar."""
    for one in unseen:
        origin = weeks.origin(one.calendar, week)
        last = one.last_session or date.max
        if origin is not None and one.first_session <= origin <= last:
            detail = (
                f"expected since {one.first_session}, none has come; why: `stock-platform lake "  # noqa: S608
                f"\"SELECT * FROM coverage WHERE instrument_id = '{one.instrument_id}'\"`"
            )
            yield one.instrument_id, one.symbol, "no_bars", detail
