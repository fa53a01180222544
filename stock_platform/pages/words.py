"""What the numbers say, in plain words; above all what is not known. Pure text, no Streamlit."""

from __future__ import annotations

import math
from datetime import date

from stock_platform.ml.candidates import BASELINE, INITIAL_CHAMPION
from stock_platform.ml.record import MIN_WEEKS
from stock_platform.pages.scores import Skill

REFUSALS = {
    "history_too_short": "it has too few bars",
    "no_bars": "it never had a bar",
    "origin_missing": "it has no bar on the last session of the week",
    "features_missing": "its volatility can't be computed",
}
"""Names of ml/refusals.py, for people."""
REASONS = {
    "closed": "the exchange was closed",
    "not_yet_final": "the bar was still provisional",
    "provider_missing": "the provider has no bar",
    "rate_limited": "the provider refused to answer",
    "rejected": "the bar was unusable",
    "delisted": "the instrument no longer traded",
    "unexplained": "no reason is on record",
}
"""Reasons of `coverage` (docs/live-sources.md), for people."""
ACTIONS = {
    "initial": "first champion",
    "promote": "promoted",
    "refuse": "refused",
    "rollback": "rolled back",
}


def percent(value: float | None, digits: int = 1, *, sign: bool = False) -> str:
    """A fraction as percent, with a true minus; an unknown one as `unknown`."""
    if value is None or not math.isfinite(value):
        return "unknown"
    return f"{100 * value:{'+' if sign else ''}.{digits}f} %".replace("-", "−")  # noqa: RUF001


def money(value: float, currency: str = "") -> str:
    """A price with thousands apart and two decimals, more below one."""
    digits = 2 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f} {currency}".strip()


def record_name(kind: str, name: str) -> str:
    """A record of scored forecasts, as it is chosen and told."""
    return "live forecasts" if kind == "live" else f"backtest {name}"


def skill(found: Skill, what: str) -> str:
    """How good past forecasts of `what` were, with what the weeks allow to say."""
    if found.weeks == 0:
        return f"No forecast of {what} has matured yet, so nothing is known of their accuracy."
    value, weeks = percent(found.value, 2, sign=True), f"{found.weeks} weeks"
    if found.verdict == "early":
        return (
            f"Skill against the random walk: {value} over {weeks}. That is too early to tell: "
            f"{MIN_WEEKS} weeks are needed."
        )
    band = f"{percent(found.low, 2, sign=True)} to {percent(found.high, 2, sign=True)}"
    told = {
        "better": f"Past forecasts of {what} were better than the random walk",
        "worse": f"Past forecasts of {what} were worse than the random walk",
        "unclear": f"Past forecasts of {what} can't be told from the random walk",
    }[found.verdict]
    return f"{told}: skill {value}, 95 % band {band}, over {weeks}."


def champion(name: str, pool: str) -> str:
    """Which model speaks; '' for one that beat the random walk."""
    if name in (BASELINE, INITIAL_CHAMPION):
        return (
            f"No model has beaten the random walk in the pool {pool}, so the calibrated random "
            "walk is the forecast: its median is about the last price."
        )
    return ""


def staleness(symbol: str, last: date, behind: int, *, live: bool, closed_since: int) -> str:
    """What is missing at the end of a history; '' when nothing is.

    Args:
        symbol: of the instrument.
        last: session of its last bar.
        behind: sessions after it of which other instruments of the calendar have bars.
        live: the source asks a provider, so that the present is what it should show.
        closed_since: sessions that have closed since the newest bar of the calendar, by the clock.
    """
    if behind:
        return (
            f"The data are stale: the last bar of {symbol} is of {last}, {behind} "
            f"{_sessions(behind)} before that of others."
        )
    if live and closed_since > 1:
        return (
            f"The data are stale: {closed_since} sessions have closed since the last bar, "
            f"{last}. `make run` fetches what is missing; the schedules under `make up` do it "
            "every evening."
        )
    return ""


def end_of_source(source: str, last: date) -> str:
    """That a source without a provider has no present."""
    return f"The source `{source}` ends on {last}: all dates here are of its time, not of today."


def refusal(symbol: str, reason: str, detail: str, week: date) -> str:
    """That an instrument was not forecast, and why."""
    return (
        f"No forecast of {symbol} from the week of {week}: {REFUSALS.get(reason, reason)} "
        f"(`{reason}`: {detail})."
    )


def pending(target: date, last: date) -> str:
    """Whether a forecast can be compared yet."""
    if target > last:
        return f"Pending: its last target, {target}, is after the last bar, {last}."
    return f"Matured: its last target was {target}."


def missing(expected: int, absent: int) -> str:
    """How complete a history is."""
    if not expected:
        return "No session is expected yet."
    if not absent:
        return f"Complete: each of the {expected:,} expected sessions has a bar."
    share = percent(absent / expected, 2)
    return (
        f"{absent:,} of {expected:,} expected sessions have no bar ({share}); nothing is filled in."
    )


def known_then(symbol: str, day: date, clock: str, bars: int, last: date | None) -> str:
    """What was known at the end of a day."""
    who = "the world could know" if clock == "available_at" else "this platform had fetched"
    if last is None:
        mend = (
            ""
            if clock == "available_at"
            else " Choose what the world could know to see histories that were fetched later."
        )
        return f"By the end of {day} (UTC) {who} no bar of {symbol}.{mend}"
    return (
        f"As of the end of {day} (UTC): {who} {bars:,} bars of {symbol}, the last of {last}. "
        "Nothing that came later is on this page, except what is named so."
    )


def _sessions(number: int) -> str:
    return "session" if number == 1 else "sessions"
