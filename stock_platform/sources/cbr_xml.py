"""The XML of the Central Bank of Russia: one answer's bytes in, records out.

What lives here is how the bank writes: windows-1251, decimal commas, nominals, days as DD.MM.YYYY.
What does not: asking for it (`cbr_client.py`) and what a record is worth (`cbr_quotes.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from xml.etree import ElementTree as ET

from stock_platform.sources.cbr_quotes import FlawedError, Quotes, Record, Values, sort
from stock_platform.sources.fetching import FetchError
from stock_platform.sources.symbols import METALS

LONGEST_CLOSURE = timedelta(days=15)
"""An answer for one day whose quotes are older than this is a stale copy, not the bank's answer."""

_NUMBER = re.compile(r"\d{1,15}(,\d{1,15})?(E[+-]?\d{1,2})?\Z", re.ASCII | re.IGNORECASE)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<script")


def metals(body: bytes, first: date, last: date) -> Quotes:
    """The answer of xml_metall.asp for the days from `first` to `last`.

    Raises:
        FetchError: it is no answer to that question.
    """
    root = _root(body, "Metall")
    _check_range(root, ("FromDate", "ToDate"), "%Y%m%d", first, last)

    def about(element: ET.Element) -> _About:
        code = element.get("Code", "")
        known = None if code in METALS else ("Code", "no metal has this code: the bank has 1 to 4")
        return code, element.get("Date", ""), known

    return sort(_read(root, "Record", ("Buy", "Sell"), about, _buy_and_sell), first, last)


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

    def about(element: ET.Element) -> _About:
        code = element.get("Id", currency).strip()
        known = None if code == currency else ("Id", f"the record is of another id than {currency}")
        return code, element.get("Date", ""), known

    return sort(_read(root, "Record", _RATE, about, _nominal_and_rate), first, last)


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

    def values(element: ET.Element) -> Values:
        wanted, found = char_codes.get(element.get("ID", "")), _text(element, "CharCode")
        if wanted is not None and found != wanted:
            raise FlawedError("CharCode", found, f"the id stands for {wanted} in the universe")
        return _nominal_and_rate(element)

    def about(element: ET.Element) -> _About:
        return element.get("ID", ""), said, None

    return sort(_read(root, "Valute", ("CharCode", *_RATE), about, values), day, day)


def rate_of_one(nominal: str, value: str, unit: str) -> Values:
    """Nominal, and RUB per one unit of a currency.

    The bank says it twice: as `value` per `nominal` units and as `unit` (VunitRate; old answers
    have none). They have to agree as far as the shorter is written; the longer is taken.

    Raises:
        FlawedError: a number is unreadable or not positive, or the two disagree.
    """
    per_nominal, price = _positive("Nominal", nominal), _positive("Value", value)
    if per_nominal != per_nominal.to_integral_value():
        raise FlawedError("Nominal", nominal, "a nominal is a whole number of units")
    rate = price / per_nominal
    if unit:
        stated = _positive("VunitRate", unit)
        ours, theirs = _half_of_last_digit(price) / per_nominal, _half_of_last_digit(stated)
        if abs(rate - stated) > max(ours, theirs):
            raise FlawedError(
                "VunitRate", unit, f"Value {value} for Nominal {nominal} is {rate:f} per unit"
            )
        rate = stated if theirs < ours else rate
    return float(per_nominal), float(rate)


_About = tuple[str, str, tuple[str, str] | None]
"""Of a record: code, day, and field and fault of a code that can't be meant."""
_RATE = ("Nominal", "Value", "VunitRate")


def _buy_and_sell(element: ET.Element) -> Values:
    buy, sell = (_positive(name, _text(element, name)) for name in ("Buy", "Sell"))
    return float(buy), float(sell)


def _nominal_and_rate(element: ET.Element) -> Values:
    nominal, value, unit = (_text(element, name) for name in _RATE)
    return rate_of_one(nominal, value, unit)


def _read(
    root: ET.Element,
    tag: str,
    fields: tuple[str, ...],
    about: Callable[[ET.Element], _About],
    values: Callable[[ET.Element], Values],
) -> list[Record]:
    """The elements `tag` as records, `fields` being those within that hold what `values` reads."""
    records = []
    for element in root.iter(tag):
        code, day, code_flaw = about(element)
        text = " ".join(_text(element, field) for field in fields)
        records.append(
            Record(code, day, _day(day), text, fields[-1], code_flaw, partial(values, element))
        )
    return records


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
        raise FlawedError(field, text, "no number as the bank writes them, such as 1234,56")
    number = Decimal(text.replace(",", "."))
    if number <= 0:
        raise FlawedError(field, text, "has to be positive")
    return number


def _half_of_last_digit(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(5).scaleb(exponent - 1)
