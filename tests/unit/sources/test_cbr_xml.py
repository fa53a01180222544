"""Reading the bank's XML: recorded answers to the digit, and what an answer can be instead."""

from __future__ import annotations

import random
import re
from datetime import date
from decimal import Decimal

import pytest

from stock_platform.sources import cbr_xml
from stock_platform.sources.cbr_quotes import Quote, Quotes
from stock_platform.sources.fetching import FetchError
from tests.support.cbr_server import CAPTCHA, ERROR, FIXTURES, Bank

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 5)
TUESDAY, WEDNESDAY = date(2026, 3, 3), date(2026, 3, 4)
METALL = (FIXTURES / "xml_metall_2026-03-01_2026-03-05.xml").read_bytes()
DAILY = (FIXTURES / "XML_daily_2026-04-25.xml").read_bytes()
SATURDAY = date(2026, 4, 25)


def dynamic(currency: str) -> bytes:
    return (FIXTURES / f"XML_dynamic_{currency}_2026-03-01_2026-03-05.xml").read_bytes()


VND = dynamic("R01150")


def read_metals(body: bytes = METALL) -> Quotes:
    return cbr_xml.metals(body, FIRST, LAST)


def read_vnd(body: bytes = VND) -> Quotes:
    return cbr_xml.dynamic(body, "R01150", FIRST, LAST)


def read_daily(body: bytes = DAILY, day: date = SATURDAY) -> Quotes:
    return cbr_xml.daily(body, day, {"R01235": "USD"})


def swapped(body: bytes, old: str, new: str, times: int = 1) -> bytes:
    assert old.encode() in body
    return body.replace(old.encode(), new.encode(), times)


def test_recorded_metals():
    said = read_metals()
    assert len(said.quotes) == 12
    assert said.quotes[:2] == (
        Quote("1", TUESDAY, (12957.47, 12957.47)),
        Quote("1", WEDNESDAY, (13259.22, 13259.22)),
    )
    assert said.published == {TUESDAY, WEDNESDAY, LAST}
    assert (said.flaws, said.duplicates) == ((), 0)


def test_recorded_rates_are_per_one_unit():
    assert read_vnd().quotes[0] == Quote("R01150", TUESDAY, (10000.0, 0.00308225))
    usd = cbr_xml.dynamic(dynamic("R01235"), "R01235", FIRST, LAST)
    assert [q.values for q in usd.quotes] == [(1.0, 77.1734), (1.0, 77.6093), (1.0, 77.8009)]


def test_recorded_day_of_all_currencies():
    said = read_daily()
    rates = {quote.code: quote.values for quote in said.quotes}
    assert len(rates) == 54
    assert rates["R01300"] == (1_000_000.0, 5.39256e-05)  # the exponent form
    assert rates["R01820"] == (100.0, 0.472636)
    assert {quote.session for quote in said.quotes} == said.published == {SATURDAY}
    assert said.flaws == ()


def test_the_quotes_of_an_earlier_day_are_not_those_of_the_day_asked():
    for later in (date(2026, 4, 26), date(2026, 4, 27)):
        said = read_daily(day=later)
        assert (said.quotes, said.flaws, said.published) == ((), (), frozenset())


@pytest.mark.parametrize("day", [date(2026, 4, 24), date(2026, 5, 11), date(2027, 4, 25)])
def test_a_day_that_is_later_or_long_past_is_another_answer(day: date):
    with pytest.raises(FetchError, match=r"25\.04\.2026") as error:
        read_daily(day=day)
    assert error.value.kind == "malformed"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (CAPTCHA, "consent_page"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x"><html/>', "consent_page"),
        (b"<HTML><BODY>Forbidden</BODY></HTML>", "consent_page"),
        (ERROR, "bad_request"),
        (b"<Metall>Error in parameters</Metall>", "bad_request"),
        (METALL[: len(METALL) // 2], "malformed"),
        (METALL.replace(b"windows-1251", b"klingon"), "malformed"),
        (METALL.replace(b"windows-1251", b"utf-16"), "malformed"),
        (b'<!DOCTYPE x [<!ENTITY a "a">]><Metall>&a;</Metall>', "malformed"),
        (b"<Metall>try later</Metall>", "malformed"),
        (b"<Other/>", "malformed"),
        (b"503 Service Unavailable", "malformed"),
        (VND, "malformed"),
        (METALL.replace(b"20260305", b"20260304"), "malformed"),
        (METALL.replace(b"20260301", b"20250301"), "malformed"),
    ],
)
def test_what_is_no_answer(body: bytes, kind: str):
    with pytest.raises(FetchError) as error:
        read_metals(body)
    assert error.value.kind == kind


def test_letters_declared_in_the_wrong_encoding():
    """Names in windows-1251 that call themselves UTF-8 can't be read; numbers would be, by luck."""
    with pytest.raises(FetchError, match="no XML") as error:
        read_daily(DAILY.replace(b"windows-1251", b"utf-8"))
    assert error.value.kind == "malformed"


def test_an_answer_about_another_currency():
    with pytest.raises(FetchError, match=r"R01010.*not R01150") as error:
        read_vnd(dynamic("R01010"))
    assert error.value.kind == "malformed"


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("30,8225", "n/a", "Value", "n/a"),
        ("30,8225", "", "Value", ""),
        ("30,8225", "30.8225", "Value", "30.8225"),
        ("30,8225", "-30,8225", "Value", "-30,8225"),
        ("30,8225", "0,0000", "Value", "0,0000"),
        ("30,8225", "1 030,8225", "Value", "1 030,8225"),
        ("30,8225", "1E999999", "Value", "1E999999"),
        ("<Nominal>10000", "<Nominal>0", "Nominal", "0"),
        ("<Nominal>10000", "<Nominal>1,5", "Nominal", "1,5"),
        ("<Nominal>10000</Nominal>", "", "Nominal", ""),
        # a nominal that changed without its value: the rate of one unit gives it away
        ("<Nominal>10000", "<Nominal>1000", "VunitRate", "0,00308225"),
        ("0,00308225", "0,0030823", "VunitRate", "0,0030823"),
    ],
)
def test_a_bad_number_is_refused_with_its_value(old: str, new: str, field: str, value: str):
    if new == "0,0030823":  # rounded: agrees
        assert read_vnd(swapped(VND, old, new)).flaws == ()
        return
    said = read_vnd(swapped(VND, old, new))
    (flaw,) = said.flaws
    assert (flaw.code, flaw.session, flaw.row_ref) == ("R01150", TUESDAY, "")
    assert (flaw.field, flaw.value) == (field, value)
    assert [quote.session for quote in said.quotes] == [WEDNESDAY, LAST]
    assert TUESDAY in said.published, "the bank did publish that day"


def test_a_unit_rate_that_is_off_by_more_than_rounding_is_refused():
    (flaw,) = read_vnd(swapped(VND, "0,00308225", "0,00308226")).flaws
    assert (flaw.field, flaw.value) == ("VunitRate", "0,00308226")
    assert "0.00308225" in flaw.detail


@pytest.mark.parametrize(
    ("nominal", "value", "unit", "rate"),
    [
        ("1000000", "58,8139", "5,88139E-05", "0.0000588139"),
        ("1", "26,7960", "26,796", "26.796"),
        ("1", "27", "26,796", "26.796"),  # the unit rate has more decimals
        ("100", "16,3172", "", "0.163172"),  # answers of old have no unit rate
    ],
)
def test_the_more_precise_of_two_rates_is_taken(nominal, value, unit, rate):
    assert cbr_xml.rate_of_one(nominal, value, unit) == (float(nominal), float(Decimal(rate)))


def test_a_redenomination_keeps_the_rate_of_one_unit():
    """From 10,000 to 100 units a quotation: the rate of one unit goes on, the nominal tells."""
    body = swapped(
        VND,
        "<Nominal>10000</Nominal><Value>30,9867</Value><VunitRate>0,00309867",
        "<Nominal>100</Nominal><Value>0,3099</Value><VunitRate>0,003099",
    )
    values = [quote.values for quote in read_vnd(body).quotes]
    assert values == [(10000.0, 0.00308225), (100.0, 0.003099), (10000.0, 0.00310558)]


def test_a_metal_code_the_bank_does_not_have():
    said = read_metals(swapped(METALL, 'Code="4"', 'Code="5"'))
    (flaw,) = said.flaws
    assert (flaw.code, flaw.session, flaw.field, flaw.value) == ("5", TUESDAY, "Code", "5")
    assert flaw.row_ref.startswith("5:03.03.2026")
    assert len(said.quotes) == 11


def test_a_record_of_another_currency():
    said = read_vnd(swapped(VND, 'Date="03.03.2026" Id="R01150"', 'Date="03.03.2026" Id="R01010"'))
    (flaw,) = said.flaws
    assert (flaw.field, flaw.value) == ("Id", "R01010")
    assert len(said.quotes) == 2


@pytest.mark.parametrize(
    ("day", "session"),
    [("31.02.2026", None), ("", None), ("06.03.2026", date(2026, 3, 6))],
)
def test_a_record_of_no_day_asked_for(day: str, session: date | None):
    (flaw,) = read_vnd(swapped(VND, "03.03.2026", day)).flaws
    assert (flaw.session, flaw.field, flaw.value) == (session, "Date", day)
    assert flaw.row_ref


def test_an_id_that_stands_for_another_currency():
    said = cbr_xml.daily(DAILY, SATURDAY, {"R01235": "RUB"})
    (flaw,) = said.flaws
    assert (flaw.code, flaw.field, flaw.value) == ("R01235", "CharCode", "USD")
    assert len(said.quotes) == 53


def test_of_records_that_disagree_none_is_taken():
    record = b'<Record Date="03.03.2026" Id="R01150"><Nominal>10000</Nominal><Value>31,0000</Value>'
    record += b"<VunitRate>0,0031</VunitRate></Record>"
    said = read_vnd(VND.replace(b"</ValCurs>", record + b"</ValCurs>"))
    (flaw,) = said.flaws
    assert (flaw.session, flaw.row_ref) == (TUESDAY, "")
    assert flaw.value == "10000 30,8225 0,00308225 | 10000 31,0000 0,0031"
    assert [quote.session for quote in said.quotes] == [WEDNESDAY, LAST]


@pytest.mark.parametrize("seed", range(8))
def test_order_and_repetition_of_records_change_nothing(seed: int):
    """G8, with a flawed record, one out of range and two that disagree among them."""
    draw = random.Random(seed)
    body = METALL.replace(b"236,1<", b"n/a<").replace(b'"04.03.2026" Code="4"', b'"" Code="4"')
    records = re.findall(rb"<Record.*?</Record>", body)
    records.append(records[0].replace(b"12957,47", b"12957,4700"))
    records.append(records[0].replace(b"12957,47", b"1,00"))
    head, tail = body[: body.index(b"<Record")], b"</Metall>"
    plain = read_metals(head + b"".join(records) + tail)
    assert len(plain.flaws) == 3
    more = [*records, *draw.sample(records, 5)]
    draw.shuffle(more)
    shuffled = read_metals(head + b"".join(more) + tail)
    assert (shuffled.quotes, shuffled.flaws) == (plain.quotes, plain.flaws)
    assert shuffled.published == plain.published
    assert (plain.duplicates, shuffled.duplicates) == (1, 6)


def test_the_server_of_these_tests_writes_as_the_bank_does():
    """Byte for byte, from the values alone."""
    bank = Bank()
    for quote in re.findall(rb'Record Date="(\d+).*?Code="(\d)".*?<Buy>([\d,]+)', METALL):
        day, code, price = (part.decode() for part in quote)
        bank.metals.setdefault(date(2026, 3, int(day)), {})[code] = (price, price)
    for currency in ("R01010", "R01150", "R01235"):
        found = re.findall(
            rb'Record Date="(\d+).*?<Nominal>(\d+).*?<Value>([\d,]+)', dynamic(currency)
        )
        for day, nominal, value in found:
            of_day = bank.rates.setdefault(date(2026, 3, int(day)), {})
            of_day[currency] = (int(nominal), value.decode())
    assert bank.metall(FIRST, LAST) == METALL
    for currency in ("R01010", "R01150", "R01235"):
        assert bank.dynamic(currency, FIRST, LAST) == dynamic(currency)
    start, end = DAILY.index(b'<Valute ID="R01300">'), DAILY.index(b'<Valute ID="R01335">')
    day = Bank(rates={SATURDAY: {"R01300": (1_000_000, "53,9256")}}).daily(SATURDAY)
    assert day == DAILY[: DAILY.index(b"<Valute")] + DAILY[start:end] + b"</ValCurs>"
