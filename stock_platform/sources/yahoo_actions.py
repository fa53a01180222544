"""Splits, dividends and capital gains of one answer of Yahoo.

What lives here brings payments to the basis of shares as traded and refuses what can't be an
action. What does not: which splits the prices are divided by (`yahoo_basis.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date

import polars as pl

from stock_platform.sources import yahoo_basis, yahoo_rows, yahoo_withdrawn
from stock_platform.sources.yahoo_ask import Ask
from stock_platform.sources.yahoo_basis import Basis
from stock_platform.sources.yahoo_client import Answer

LARGE = 0.2
"""A payment of this share of the price shows in the price; pence taken for pounds do not."""

_ACTIONS = pl.Schema({"session": pl.Date, "action": pl.String, "value": pl.Float64})


def splits(actions: pl.DataFrame) -> tuple[pl.DataFrame, Basis | None]:
    """The listed splits (session, value; sorted), or the problem that one of them can't be one.

    Args:
        actions: of an answer.
    """
    listed = (
        actions.filter(pl.col("action") == "split")
        .select("session", "value")
        .unique()
        .sort("session", "value")
    )
    wrong = listed.filter(
        ~pl.col("value").is_finite() | (pl.col("value") <= 0) | pl.col("session").is_duplicated()
    )
    if wrong.is_empty():
        return listed, None
    day, value = wrong.row(0)
    why = "which can't be" if wrong.height == 1 else "and another one of the same day"
    problem = f"Yahoo lists a split of {value:g}:1 on {day}, {why}: its prices can't be understood"
    good = listed.join(wrong, on="session", how="anti")
    return good, Basis(good, problem=problem, field="split", value=f"{value:g}")


@dataclass(frozen=True)
class Actions:
    """What became of an answer's actions.

    Attributes:
        rows: session, action, value.
        refused: `yahoo_rows.REFUSED`.
        notes: what a person should know of them.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    notes: list[str]


def as_traded(ask: Ask, answer: Answer, found: Basis) -> Actions:
    """Splits and payments per share as traded, and refusals of those that can't be any.

    One whose ex-date is no session belongs to the session that follows: the first to trade ex.

    Args:
        ask: what was asked.
        answer: what came.
        found: the splits that its numbers are divided by.
    """
    code = ask.instrument.currency
    units_of_bars = yahoo_basis.unit(answer.currency)[1]
    within = pl.col("session").is_between(ask.reach, ask.last)
    sent = answer.actions.filter(within).unique(maintain_order=True)
    sent = sent.with_columns(
        yahoo_basis.factor(sent, found.splits).alias("scale"),
        pl.struct("session", "action").is_duplicated().alias("twice"),
    )
    bad: list[tuple[object, str, str, str, str]] = []
    good: list[tuple[date, str, float]] = []
    sessions = ask.days["session"].to_list()
    listed: set[tuple[date, str]] = set()
    prices = answer.bars.filter(pl.col("close") > 0).unique("session", keep="last").sort("session")
    priced, closes = prices["session"].to_list(), prices["close"].to_list()
    for day, action, value, currency, scale, twice in sent.iter_rows():
        iso, units = yahoo_basis.unit(currency or answer.currency)
        ref = f"{ask.symbol}:{action}:{day}"
        place = bisect_left(sessions, day)
        if place == len(sessions):
            continue  # its session has not opened
        session = sessions[place]
        listed.add((session, action))
        if twice:
            text = "Yahoo states two different ones"
            bad.append((session, f"{ref}:{value:g}", action, f"{value:g}", text))
        elif action == "split":
            good.append((session, action, value))
        elif iso != code:
            text = f"stated in {currency}, the universe says {code}"
            bad.append((session, ref, "currency", str(currency), text))
        elif not 0 < value < float("inf"):
            bad.append((session, ref, action, f"{value:g}", "a payment must be above 0"))
        elif text := _too_large(priced, closes, session, value / units * units_of_bars):
            bad.append((session, ref, action, f"{value:g}", text))
        else:
            good.append((session, action, value / units * scale))
    gone, notes = yahoo_withdrawn.withdrawn(ask, answer, found, listed)
    # Two ex-dates of one session (a holiday before it) add up.
    value = pl.col("value")
    split = pl.col("action").first() == "split"
    actions = pl.DataFrame(good, schema=_ACTIONS, orient="row").group_by("session", "action")
    total = actions.agg(pl.when(split).then(value.product()).otherwise(value.sum()))
    rows = pl.concat([total, pl.DataFrame(gone, schema=_ACTIONS, orient="row")])
    return Actions(rows, yahoo_rows.refusals(bad), notes)


def _too_large(days: list[date], closes: list[float], session: date, payment: float) -> str:
    """Why a payment, in the unit and basis of the closes, can't have been made; '' if it can."""
    place = bisect_left(days, session)
    on = closes[place : place + 1]
    before = closes[max(place - 1, 0) : place] or on
    if not before or payment < LARGE * before[0]:
        return ""
    if payment >= before[0]:
        return f"a payment of the whole price or more: the close before was {before[0]:g}"
    if on and on[0] > before[0] - payment / 2:
        return f"the price did not fall by it: its closes go from {before[0]:g} to {on[0]:g}"
    return ""
