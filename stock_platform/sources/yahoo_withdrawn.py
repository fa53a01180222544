"""Splits and payments that the lake holds and Yahoo lists no more: withdrawn, or left out for once.

What lives here finds proof in the answer's own prices that there never was such an action; without
it what is stored stays. What does not: reading those it does list (`yahoo_actions.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import polars as pl

from stock_platform.lake.schema import NO_EFFECT
from stock_platform.sources import yahoo_basis
from stock_platform.sources.yahoo_ask import Ask
from stock_platform.sources.yahoo_basis import Basis
from stock_platform.sources.yahoo_client import Answer

PROOF = 0.25
"""The adjusted close leaves out a payment when what it does contain is off by less than this share
of that payment."""


def withdrawn(
    ask: Ask, answer: Answer, found: Basis, listed: Collection[tuple[date, str]]
) -> tuple[list[tuple[date, str, float]], list[str]]:
    """Stored actions that are taken back.

    A split is one when stored closes from before its day agree with the answer's without it; a
    payment when the answer's adjusted close does not contain it.

    Args:
        ask: what was asked.
        answer: what came; usable.
        found: the splits that its numbers are divided by.
        listed: session and action of all that the answer lists, refused ones too.

    Returns:
        session, action, value (`NO_EFFECT`) of each; and a sentence about each, for people.
    """
    gone = [
        (day, action, value)
        for day, action, value in ask.actions.iter_rows()
        if (day, action) not in listed
        and day <= ask.last
        and _proven(ask, answer, found, (day, action, value))
    ]
    notes = [
        f"Yahoo no longer lists the {action} of {value:g} on {day}, and its prices agree without "
        "it: withdrawn"
        for day, action, value in gone
    ]
    return [(day, action, NO_EFFECT[action]) for day, action, _ in gone], notes


def _proven(ask: Ask, answer: Answer, found: Basis, one: tuple[date, str, float]) -> bool:
    day, action, value = one
    if action == "split":
        if day in found.splits["session"].to_list():
            return False
        compared = answer.bars.join(ask.held, on="session", how="semi")
        taken_anew = ask.anew is not None and day < ask.anew
        return taken_anew or not compared.filter(pl.col("session") < day).is_empty()
    contained = _contained(answer, day)
    if contained is None:
        return False
    units = yahoo_basis.unit(answer.currency)[1]
    scale = yahoo_basis.factor(pl.DataFrame({"session": [day]}), found.splits)[0]
    missing = value * units / float(scale)
    others = answer.actions.filter(pl.col("session") == day, pl.col("action") != "split")
    return abs(contained - float(others["value"].sum())) < PROOF * missing


def _contained(answer: Answer, day: date) -> float | None:
    """What the adjusted close says was paid on a day, as the answer states prices.

    Walking back over an ex-date it is multiplied by 1 - payment / previous close.
    """
    bars = answer.bars.filter(pl.col("close") > 0, pl.col("adjusted") > 0)
    before = bars.filter(pl.col("session") < day).tail(1)
    since = bars.filter(pl.col("session") == day).tail(1)
    if before.is_empty() or since.is_empty():
        return None
    close, adjusted = before.select("close", "adjusted").row(0)
    close_since, adjusted_since = since.select("close", "adjusted").row(0)
    return float(close * (1 - (adjusted / close) / (adjusted_since / close_since)))
