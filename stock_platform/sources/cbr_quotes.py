"""What one answer of the Central Bank of Russia says: quotes, and flaws of what can't be taken.

What lives here sorts records into the two. What does not: the bank's XML (`cbr_xml.py`), and
whether a quote is of a believable size (`cbr_size.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

Values = tuple[float, float]
"""Buy and sell (RUB per gram) of a metal; nominal and rate (RUB per ONE unit) of a currency."""


@dataclass(frozen=True, order=True)
class Quote:
    """One quotation.

    Attributes:
        code: a metal's code such as `1`, or a currency's id such as `R01235`.
        session: the first day it is valid.
    """

    code: str
    session: date
    values: Values


@dataclass(frozen=True, order=True)
class Flaw:
    """A record that can't be taken.

    Attributes:
        code: as the bank wrote it.
        session: None if the record has no day.
        row_ref: '' when it stands where the quotation of that day should; else what names it.
        field: the bank's name of the offending element or attribute; `value`: its text.
    """

    code: str
    session: date | None
    row_ref: str
    field: str
    value: str
    detail: str


@dataclass(frozen=True)
class Quotes:
    """What one answer says, the same for any order and repetition of its records.

    Attributes:
        quotes, flaws: sorted.
        published: days for which the bank published anything, readable or not.
        duplicates: records left out because another said the same.
    """

    quotes: tuple[Quote, ...]
    flaws: tuple[Flaw, ...]
    published: frozenset[date]
    duplicates: int


class FlawedError(Exception):
    """A field of a record is unusable: field, its text, what is wrong."""

    def __init__(self, field: str, value: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.value, self.detail = field, value, detail


@dataclass(frozen=True)
class Record:
    """A record as the bank wrote it.

    Attributes:
        code: of a metal or currency.
        day: the text of its day; `session`: the same as a date, None if it can't be read.
        text: its values' text; `last_field`: the bank's name of the last of them.
        code_flaw: field and what is wrong, when the code is none that can be meant.
        values: reads the values, or raises `FlawedError`.
    """

    code: str
    day: str
    session: date | None
    text: str
    last_field: str
    code_flaw: tuple[str, str] | None
    values: Callable[[], Values]


def sort(records: Sequence[Record], first: date, last: date) -> Quotes:
    """Sort the records into quotes and flaws; of two that contradict each other neither is taken.

    `records` are those of one answer, `first` and `last` the days that were asked for.
    """
    said: dict[tuple[str, date], dict[Quote | Flaw, Record]] = {}
    flaws: set[Flaw] = set()
    for record in records:
        ref = f"{record.code}:{record.day}:{record.text}"
        session = record.session
        if session is None:
            detail = "the record has no readable day"
            flaws.add(Flaw(record.code, None, ref, "Date", record.day, detail))
        elif not first <= session <= last:
            detail = f"the record lies outside the days asked for, {first} to {last}"
            flaws.add(Flaw(record.code, session, ref, "Date", record.day, detail))
        elif record.code_flaw is not None:
            field, detail = record.code_flaw
            flaws.add(Flaw(record.code, session, ref, field, record.code, detail))
        else:
            of_day, one = said.setdefault((record.code, session), {}), _one(record, session)
            of_day[one] = min(record, of_day.get(one, record), key=lambda r: r.text)
    quotes: list[Quote] = []
    for (code, session), what in said.items():
        only = next(iter(what))
        if len(what) > 1:
            both = " | ".join(sorted({record.text for record in what.values()}))
            field = what[only].last_field
            detail = "the bank's answer holds several records of this day that disagree"
            flaws.add(Flaw(code, session, "", field, both, detail))
        elif isinstance(only, Quote):
            quotes.append(only)
        else:
            flaws.add(only)
    distinct = sum(len(what) for what in said.values()) + len([f for f in flaws if f.row_ref])
    return Quotes(
        tuple(sorted(quotes)),
        in_order(flaws),
        frozenset(session for _, session in said),
        len(records) - distinct,
    )


def in_order(flaws: Iterable[Flaw]) -> tuple[Flaw, ...]:
    """The flaws sorted, those without a day first."""
    return tuple(sorted(flaws, key=lambda f: (f.code, f.session or date.min, f.row_ref)))


def _one(record: Record, session: date) -> Quote | Flaw:
    try:
        return Quote(record.code, session, record.values())
    except FlawedError as flaw:
        return Flaw(record.code, session, "", flaw.field, flaw.value, flaw.detail)
