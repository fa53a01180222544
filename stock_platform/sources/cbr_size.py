"""Quotations of a size that can't be true: a decimal comma lost, a rate of another nominal.

What lives here compares a quotation with those near it. What does not: reading one
(`cbr_quotes.py`) and what becomes of a refused one (`cbr_rows.py`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import polars as pl

from stock_platform.lake.schema import FINAL
from stock_platform.sources.cbr_plan import DATASETS, NAME, Known
from stock_platform.sources.cbr_quotes import Flaw, Quotes, in_order
from stock_platform.sources.cbr_rows import Answer

LIMIT = 5.0
"""A quotation that differs more than so many times from its neighbours is refused. The rouble of
August 1998 moved by a third in a day; a lost comma moves a metal by a hundred."""

NEAR = timedelta(days=30)
"""How far away a neighbour may be: the longest closures last ten days."""

BESIDE = 3
"""So many neighbours on a side are asked; a side contradicts when most of them do."""

_JUDGED = {
    "metal_prices": (("Buy", "buy", 0), ("Sell", "sell", 1)),
    "fx_rates": (("VunitRate", "rate", 1),),
}
"""Dataset -> the bank's name, the lake's column and the place in `Quote.values` of each figure."""

Series = Mapping[date, float]
Refused = dict[tuple[str, date], Flaw]
"""By code and session."""


def refuse(
    answers: Sequence[Answer], codes: pl.DataFrame, known: Known | None
) -> tuple[list[Answer], list[Flaw]]:
    """The answers, with quotations of an unbelievable size turned into flaws, and these flaws.

    Args:
        answers: of one load.
        codes: from `cbr_plan.codes`, reaching `NEAR` past what the answers are about; each row is
            judged by itself, so that another unit can begin with another row.
        known: the lake as of now; None: the answers are compared with themselves only.
    """
    refused = {
        dataset: _refused(
            dataset,
            [answer.said for answer in answers if answer.ask.dataset == dataset],
            codes,
            known,
        )
        for dataset in DATASETS.values()
    }
    flaws = sorted(flaw for of_dataset in refused.values() for flaw in of_dataset.values())
    return [_without(answer, refused[answer.ask.dataset]) for answer in answers], flaws


def _refused(
    dataset: str, said: Sequence[Quotes | Exception], codes: pl.DataFrame, known: Known | None
) -> Refused:
    quotes = [quote for one in said if isinstance(one, Quotes) for quote in one.quotes]
    if not quotes:
        return {}
    sessions = [quote.session for quote in quotes]
    held = known(dataset, min(sessions) - NEAR, max(sessions) + NEAR) if known else None
    refused: Refused = {}
    for row in codes.filter(pl.col("dataset") == dataset).iter_rows(named=True):
        code, first, last = row["code"], row["from"], row["to"]
        of_code = [q for q in quotes if q.code == code and first <= q.session <= last]
        for field, column, place in _JUDGED[dataset]:
            news = {quote.session: quote.values[place] for quote in of_code}
            before = _series(held, row, column) if held is not None else {}
            for session, detail in _unlike(news, before):
                value = f"{news[session]:.15g}"
                refused.setdefault((code, session), Flaw(code, session, "", field, value, detail))
    return refused


def _series(held: pl.DataFrame, row: Mapping[str, Any], column: str) -> Series:
    """What the lake holds of a row of `codes` as final."""
    return dict(
        held.filter(
            pl.col("source") == NAME,
            pl.col("instrument_id") == row["instrument_id"],
            pl.col("finality") == FINAL,
            pl.col("session").is_between(row["from"], row["to"]),
        )
        .select("session", column)
        .iter_rows()
    )


def _unlike(news: Series, held: Series) -> Iterator[tuple[date, str]]:
    """The sessions of `news` whose value its neighbours contradict, and what to say of it.

    What the lake holds nearby decides; where that is nothing, the other news. A level that the days
    before share, or those after, is a change and no mistake.
    """
    of_lake, of_bank = sorted(held), sorted(news)
    for session, value in news.items():
        sides, values, whose = _beside(of_lake, session, itself=True), held, "the lake holds"
        if not sides:
            sides, values, whose = _beside(of_bank, session, itself=False), news, "the bank says"
        if sides and all(_contradicts([values[day] for day in side], value) for side in sides):
            day = min((day for side in sides for day in side), key=lambda d: abs(d - session))
            detail = (
                f"{value / values[day]:.3g} times the {values[day]:.15g} that {whose} for {day}: a "
                "decimal comma or a unit is lost; if the unit really changed, give the instrument "
                f"another row of symbols.{NAME} from that day on"
            )
            yield session, detail


def _beside(days: Sequence[date], session: date, *, itself: bool) -> list[Sequence[date]]:
    """The nearest of the sorted `days` before and after a session, without an empty side."""
    low, high = bisect_left(days, session), bisect_right(days, session)
    end, start = (high, low) if itself else (low, high)
    sides = days[max(0, end - BESIDE) : end], days[start : start + BESIDE]
    near = ([day for day in side if abs(day - session) <= NEAR] for side in sides)
    return [side for side in near if side]


def _contradicts(values: Sequence[float], value: float) -> bool:
    unlike = [v for v in values if not 1 / LIMIT <= value / v <= LIMIT]
    return 2 * len(unlike) > len(values)


def _without(answer: Answer, refused: Refused) -> Answer:
    if not isinstance(answer.said, Quotes):
        return answer
    flaws = {
        q: refused[q.code, q.session] for q in answer.said.quotes if (q.code, q.session) in refused
    }
    kept = tuple(quote for quote in answer.said.quotes if quote not in flaws)
    said = replace(answer.said, quotes=kept, flaws=in_order([*answer.said.flaws, *flaws.values()]))
    return replace(answer, said=said)
