"""Quotations of the bank's of an unbelievable size: refused with value and reason, never stored."""

from datetime import date, timedelta

import polars as pl
import pytest

from tests.support.cbr_server import Bank, Reply
from tests.support.cbr_world import (
    ALL,
    FX,
    GOLD,
    LATE,
    METAL,
    SESSIONS,
    TODAY,
    Loads,
    Setup,
    hours,
    instrument,
)


def without_commas(body: bytes) -> Reply:
    """Metals times a hundred, rates times ten thousand."""
    return Reply(body.replace(b",", b""))


def test_a_hundredfold_answer_revises_nothing(loads: Loads):
    """Every day of the window and a new one: what the lake holds decides."""
    tomorrow = TODAY + timedelta(days=1)
    loads.run()
    good = loads.lake.as_of(METAL)
    loads.bank.server.bank = Bank.of([*SESSIONS, tomorrow])
    loads.bank.server.fail("metall", without_commas)
    loads.run(hours(24))
    assert loads.lake.as_of(METAL).equals(good)
    assert loads.lake.read(METAL).height == good.height
    told = loads.lake.as_of("coverage").filter(instrument_id="CBR:XAU", session=tomorrow)
    (row,) = told.rows(named=True)
    price = loads.bank.server.bank.metals[tomorrow]["1"][0]
    assert (row["reason"], row["field"], row["row_ref"]) == ("rejected", "Buy", "")
    assert row["value"] == price.replace(",", "")
    assert "times the" in row["detail"]
    assert f"the lake holds for {TODAY}" in row["detail"]
    loads.bank.server.heal()
    loads.run(hours(25))
    assert loads.lake.as_of(METAL)["session"].max() == tomorrow


def test_two_new_days_do_not_vouch_for_each_other(loads: Loads):
    loads.run()
    loads.bank.server.bank = Bank.of([*SESSIONS, *(TODAY + timedelta(days=n) for n in (1, 2))])
    loads.bank.server.fail("metall", without_commas)
    loads.run(hours(48))
    assert loads.lake.as_of(METAL)["session"].max() == TODAY


@pytest.mark.parametrize("place", [0, 1, len(SESSIONS) // 2, -2, -1])
def test_one_lost_comma_in_a_first_load_is_refused_alone(bank: Setup, place: int):
    day = [session for session in SESSIONS if session >= GOLD["first_session"]][place]
    buy, sell = bank.server.bank.metals[day]["1"]
    bank.server.bank.metals[day]["1"] = (buy, sell.replace(",", ""))
    source = bank.source()
    tables = source.extract(GOLD["first_session"], TODAY, bank.now).tables
    (row,) = tables["coverage"].rows(named=True)
    assert (row["instrument_id"], row["session"], row["field"]) == ("CBR:XAU", day, "Sell")
    assert row["value"] == sell.replace(",", "")
    assert day not in tables[METAL].filter(instrument_id="CBR:XAU")["session"]
    (note,) = source.notes()
    assert str(day) in note


def test_a_rate_of_another_nominal_is_refused_by_currency_and_by_day(bank: Setup):
    day = SESSIONS[-2]
    _, value = bank.server.bank.rates[day]["R01150"]
    bank.server.bank.rates[day]["R01150"] = (1, value)
    expected = [("CBR:VND", day, "rejected", "VunitRate", value.replace(",", "."))]
    for more in ({}, {"first": SESSIONS[-5], "refetch_sessions": 2}):
        (row,) = bank.reasons(**more)
        assert (*row[:4], float(row[4])) == (*expected[0][:4], float(expected[0][4]))
    assert "XML_dynamic" in " ".join(bank.server.requests)


def test_a_change_of_the_unit_within_an_answer_is_taken(bank: Setup):
    """As the rouble of 1998: from a day on everything is a thousandth."""
    for day in SESSIONS:
        if day >= LATE:
            nominal, value = bank.server.bank.rates[day]["R01235"]
            bank.server.bank.rates[day]["R01235"] = (nominal * 1000, value)
    tables = bank.tables()
    assert tables["coverage"].is_empty()
    assert tables[FX].filter(instrument_id="CBR:USD")["rate"].min() < 1


def test_another_row_in_the_universe_lets_a_new_unit_in(loads: Loads):
    """What the lake holds contradicts it, until a person says that it is another unit."""
    loads.run()
    days = [TODAY + timedelta(days=n) for n in (1, 2)]
    loads.bank.server.bank = Bank.of([*SESSIONS, *days])
    for day in days:
        nominal, value = loads.bank.server.bank.rates[day]["R01235"]
        loads.bank.server.bank.rates[day]["R01235"] = (nominal * 1000, value)

    def newest() -> date:
        return loads.lake.as_of(FX).filter(pl.col("instrument_id") == "CBR:USD")["session"].max()

    loads.run(hours(48))
    assert newest() == TODAY
    rows = [
        {"symbol": "R01235", "last_session": TODAY},
        {"symbol": "R01235", "first_session": days[0]},
    ]
    mended = [instrument("USD", "R01235", symbols={"cbr": rows}), *(a for a in ALL if a != ALL[2])]
    loads.run(hours(49), entries=mended)
    assert newest() == days[1]
