"""What is asked of Yahoo about one instrument, and what the lake holds that the answer is held to.

What lives here is the question. What does not: which questions a load has (`yahoo_plan.py`) and
what becomes of an answer (`yahoo_tables.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import polars as pl

from stock_platform.universe import Instrument

NAME = "yahoo"


@dataclass(frozen=True)
class Ask:
    """One instrument's part of a load.

    Attributes:
        symbol: what to ask for; None: there is nothing to ask, or nobody to ask.
        reach: the answer reaches back to this session: all its actions are delivered.
        first: the first session of which a bar is delivered.
        last: the last one.
        days: its expected sessions from `reach` on that have opened: session, symbol (valid then),
            open_at, close_at, owed (no final bar is stored, so one is owed or a reason), named (the
            load is about this session, so its reason is told even if the lake knows it).
        held: stored final bars since `reach`, up to now, that an answer has to agree with:
            session, close (as traded), currency.
        actions: stored actions since `reach` that are not withdrawn: session, action, value.
        reasons: stored reasons: session, reason, field, value.
        notice: the session under which its delisting has to be noted; None: it has not.
        anew: see `taken_anew`.
    """

    instrument: Instrument
    symbol: str | None
    reach: date
    first: date
    last: date
    days: pl.DataFrame
    held: pl.DataFrame
    actions: pl.DataFrame
    reasons: pl.DataFrame
    notice: date | None = None
    anew: date | None = None

    @property
    def splits(self) -> pl.DataFrame:
        """Stored splits since `reach`: session, value."""
        return self.actions.filter(pl.col("action") == "split").select("session", "value")


def taken_anew(one: Instrument, today: date) -> date | None:
    """Since when a person takes Yahoo's history of an instrument as it stands, if so.

    That is said by a validity row that repeats the symbol of the one before: what the lake learned
    before its first session neither confirms nor contradicts an answer, and is asked for again.
    """
    rows = one.symbols.get(NAME, ())
    since = [
        later.first_session
        for earlier, later in pairwise(rows)
        if earlier.symbol == later.symbol and later.first_session and later.first_session <= today
    ]
    return max(since, default=None)


def within(asks: Iterator[Ask], reach: Mapping[str, date]) -> Iterator[Ask]:
    """What of some asks is answered by answers that reach back so far, by symbol.

    The plan of a replayed load is another one than it was when the lake held other rows then: those
    of a load that was killed, or that was not recorded.
    """
    for ask in asks:
        if ask.symbol is None:
            yield ask
        elif ask.symbol in reach:
            start = max(ask.reach, reach[ask.symbol])
            recent = pl.col("session") >= start
            yield replace(
                ask,
                reach=start,
                first=max(ask.first, start),
                days=ask.days.filter(recent),
                held=ask.held.filter(recent),
                actions=ask.actions.filter(recent),
            )
