"""Splits, dividends and capital gains of one answer of Yahoo.

What lives here brings payments to the basis of shares as traded and refuses what can't be an
action. What does not: which splits the prices are divided by (`yahoo_basis.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import date

import polars as pl

from stock_platform.sources import yahoo_basis, yahoo_rows
from stock_platform.sources.yahoo_basis import Basis
from stock_platform.sources.yahoo_client import Answer
from stock_platform.sources.yahoo_plan import Ask

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


def as_traded(ask: Ask, answer: Answer, found: Basis) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Splits and payments per share as traded, and refusals of those that can't be any.

    One whose ex-date is no session belongs to the session that follows: the first to trade ex.

    Args:
        ask: what was asked.
        answer: what came.
        found: the splits that its numbers are divided by.

    Returns:
        session, action, value; and rows of `yahoo_rows.REFUSED`.
    """
    code = ask.instrument.currency
    within = pl.col("session").is_between(ask.first, ask.last)
    sent = answer.actions.filter(within).unique(maintain_order=True)
    sent = sent.with_columns(
        yahoo_basis.factor(sent, found.splits).alias("scale"),
        pl.struct("session", "action").is_duplicated().alias("twice"),
    )
    bad: list[tuple[object, str, str, str, str]] = []
    good: list[tuple[date, str, float]] = []
    sessions = ask.days["session"].to_list()
    for day, action, value, currency, scale, twice in sent.iter_rows():
        iso, units = yahoo_basis.unit(currency or answer.currency)
        ref = f"{ask.symbol}:{action}:{day}"
        place = bisect_left(sessions, day)
        if place == len(sessions):
            continue  # its session has not opened
        session = sessions[place]
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
        else:
            good.append((session, action, value / units * scale))
    # Two ex-dates of one session (a holiday before it) add up.
    value = pl.col("value")
    split = pl.col("action").first() == "split"
    actions = pl.DataFrame(good, schema=_ACTIONS, orient="row").group_by("session", "action")
    total = actions.agg(pl.when(split).then(value.product()).otherwise(value.sum()))
    return total, yahoo_rows.refusals(bad)
