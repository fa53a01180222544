"""The XML of the Central Bank of Russia: one answer's bytes in, quotes and flaws out.

What lives here is how the bank writes: windows-1251, decimal commas, nominals, days as DD.MM.YYYY.
What does not: asking for it (`cbr_client.py`) and which quotes were expected (`cbr_rows.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as ET

from stock_platform.sources.fetching import FetchError

METALS = {"1": "XAU", "2": "XAG", "3": "XPT", "4": "XPD"}
"""The bank's code of a metal -> ISO 4217."""

LONGEST_CLOSURE = timedelta(days=15)
"""An answer for one day whose quotes are older than this is a stale copy, not the bank's answer."""

_NUMBER = re.compile(r"\d{1,15}(,\d{1,15})?(E[+-]?\d{1,2})?\Z", re.ASCII | re.IGNORECASE)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<script")


@dataclass(frozen=True, order=True)
class Quote:
    """One quotation.

    Attributes:
        code: a metal's code such as `1`, or a currency's id such as `R01235`.
        session: the first day it is valid.
        values: buy and sell (RUB per gram) of a metal; nominal and rate (RUB per ONE unit) of a
            currency.
    """

    code: str
    session: date
    values: tuple[float, float]


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


class _FlawedError(Exception):
    """A field of a record is unusable: field, its text, what is wrong."""

    def __init__(self, field: str, value: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.value, self.detail = field, value, detail


@dataclass(frozen=True)
class _Record:
    code: str
    day: str
    code_flaw: tuple[str, str] | None
    element: ET.Element


def metals(body: bytes, first: date, last: date) -> Quotes:
    """The answer of xml_metall.asp for the days from `first` to `last`.

    Raises:
        FetchError: it is no answer to that question.
    """
    root = _root(body, "Metall")
    _check_range(root, ("FromDate", "ToDate"), "%Y%m%d", first, last)
    records = []
    for element in root.iter("Record"):
        code = element.get("Code", "")
        known = None if code in METALS else ("Code", "no metal has this code: the bank has 1 to 4")
        records.append(_Record(code, element.get("Date", ""), known, element))
    return _read(records, ("Buy", "Sell"), _buy_and_sell, first, last)


def dynamic(body: bytes, currency: str, first: date, last: date) -> Quotes:
    """The answer of XML_dynamic.asp for the id `currency` and the days from `first` to `last`.

    Raises:
        FetchError: it is no answer to that question.
    """
    root = _root(body, "ValCurs")
    if root.get("ID", "").strip() != currency:
        raise FetchError(
            "malformed", f"the answer is about currency {root.get('ID')!r}, not {currency}"
        )
    _check_range(root, ("DateRange1", "DateRange2"), "%d.%m.%Y", first, last)
    records = []
    for element in root.iter("Record"):
        code = element.get("Id", currency).strip()
        known = None if code == currency else ("Id", f"the record is of another id than {currency}")
        records.append(_Record(code, element.get("Date", ""), known, element))
    return _read(records, _RATE, _nominal_and_rate, first, last)


def daily(body: bytes, day: date, char_codes: Mapping[str, str]) -> Quotes:
    """The answer of XML_daily.asp for one day: empty if the bank published nothing for that day.

    Then the answer carries the quotes, and the date, of the last day before that had some. Another
    ISO code than `char_codes` has for a currency's id is a flaw.

    Raises:
        FetchError: it is no answer to that question.
    """
    root = _root(body, "ValCurs")
    said = root.get("Date", "")
    of = _day(said)
    if of is None or not day - LONGEST_CLOSURE <= of <= day:
        raise FetchError("malformed", f"the answer is for {said!r}, not for {day}")
    if of < day:
        return Quotes((), (), frozenset(), 0)

    def values(element: ET.Element) -> tuple[float, float]:
        wanted, found = char_codes.get(element.get("ID", "")), _text(element, "CharCode")
        if wanted is not None and found != wanted:
            raise _FlawedError("CharCode", found, f"the id stands for {wanted} in the universe")
        return _nominal_and_rate(element)

    records = [_Record(e.get("ID", ""), said, None, e) for e in root.iter("Valute")]
    return _read(records, ("CharCode", *_RATE), values, day, day)


def rate_of_one(nominal: str, value: str, unit: str) -> tuple[float, float]:
    """Nominal, and RUB per one unit of a currency.

    The bank says it twice: as `value` per `nominal` units and as `unit` (VunitRate; old answers
    have none). They have to agree as far as the shorter is written; the longer is taken.

    Raises:
        _FlawedError: a number is unreadable or not positive, or the two disagree.
    """
    per_nominal, price = _positive("Nominal", nominal), _positive("Value", value)
    if per_nominal != per_nominal.to_integral_value():
        raise _FlawedError("Nominal", nominal, "a nominal is a whole number of units")
    rate = price / per_nominal
    if unit:
        stated = _positive("VunitRate", unit)
        ours, theirs = _half_of_last_digit(price) / per_nominal, _half_of_last_digit(stated)
        if abs(rate - stated) > max(ours, theirs):
            raise _FlawedError(
                "VunitRate", unit, f"Value {value} for Nominal {nominal} is {rate:f} per unit"
            )
        rate = stated if theirs < ours else rate
    return float(per_nominal), float(rate)


_RATE = ("Nominal", "Value", "VunitRate")


def _buy_and_sell(element: ET.Element) -> tuple[float, float]:
    buy, sell = (_positive(name, _text(element, name)) for name in ("Buy", "Sell"))
    return float(buy), float(sell)


def _nominal_and_rate(element: ET.Element) -> tuple[float, float]:
    nominal, value, unit = (_text(element, name) for name in _RATE)
    return rate_of_one(nominal, value, unit)


def _read(
    records: list[_Record],
    fields: tuple[str, ...],
    values: Callable[[ET.Element], tuple[float, float]],
    first: date,
    last: date,
) -> Quotes:
    """Sort the records into quotes and flaws; of two that contradict each other neither is taken.

    `values` reads the elements `fields` of a record, or raises `_FlawedError`.
    """
    said: dict[tuple[str, date], dict[Quote | Flaw, str]] = {}
    flaws: set[Flaw] = set()
    published: set[date] = set()
    for record in records:
        text = " ".join(_text(record.element, field) for field in fields)
        ref = f"{record.code}:{record.day}:{text}"
        session = _day(record.day)
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
            published.add(session)
            of_day, one = said.setdefault((record.code, session), {}), _one(record, session, values)
            of_day[one] = min(text, of_day.get(one, text))
    quotes: list[Quote] = []
    for (code, session), what in said.items():
        only = next(iter(what))
        if len(what) > 1:
            both = " | ".join(sorted(set(what.values())))
            detail = "the bank's answer holds several records of this day that disagree"
            flaws.add(Flaw(code, session, "", fields[-1], both, detail))
        elif isinstance(only, Quote):
            quotes.append(only)
        else:
            flaws.add(only)
    distinct = sum(len(what) for what in said.values()) + len([f for f in flaws if f.row_ref])
    order = sorted(flaws, key=lambda f: (f.code, f.session or date.min, f.row_ref))
    return Quotes(
        tuple(sorted(quotes)), tuple(order), frozenset(published), len(records) - distinct
    )


def _one(
    record: _Record, session: date, values: Callable[[ET.Element], tuple[float, float]]
) -> Quote | Flaw:
    try:
        return Quote(record.code, session, values(record.element))
    except _FlawedError as flaw:
        return Flaw(record.code, session, "", flaw.field, flaw.value, flaw.detail)


def _root(body: bytes, tag: str) -> ET.Element:
    """The root element of an answer that is one.

    Raises:
        FetchError: nothing, a web page, no XML, the bank's own error, or another document.
    """
    if not body.strip():
        raise FetchError("empty", "the answer has no content")
    head = body[:2048].lower()
    if any(mark in head for mark in _HTML):
        raise FetchError("consent_page", "the answer is a web page, not XML")
    if b"<!doctype" in head or b"<!entity" in head:
        raise FetchError("malformed", "the answer declares XML entities, which the bank never does")
    try:
        root = ET.fromstring(body)  # noqa: S314 - no declared entities get this far
    except (ET.ParseError, ValueError, LookupError) as error:
        raise FetchError("malformed", f"the answer is no XML: {error}") from None
    text = (root.text or "").strip()
    if text.lower().startswith("error in parameters"):
        raise FetchError("bad_request", f"the bank says: {text}")
    if root.tag != tag or text:
        raise FetchError("malformed", f"the answer is <{root.tag}> {text!r}, not <{tag}>")
    return root


def _check_range(
    root: ET.Element, names: tuple[str, str], written: str, first: date, last: date
) -> None:
    said = tuple(root.get(name, "") for name in names)
    if said != (first.strftime(written), last.strftime(written)):
        raise FetchError(
            "malformed", f"the answer is for {' to '.join(said)}, not for {first} to {last}"
        )


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text.strip(), "%d.%m.%Y").date()  # noqa: DTZ007 - a day, no moment
    except ValueError:
        return None


def _text(element: ET.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _positive(field: str, text: str) -> Decimal:
    if not _NUMBER.match(text):
        raise _FlawedError(field, text, "no number as the bank writes them, such as 1234,56")
    number = Decimal(text.replace(",", "."))
    if number <= 0:
        raise _FlawedError(field, text, "has to be positive")
    return number


def _half_of_last_digit(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(5).scaleb(exponent - 1)
