"""Every instrument of the universe is forecast or refused with a reason, also one without bars."""

import dataclasses
from datetime import date

import polars as pl

from stock_platform.ml.refusals import refused
from stock_platform.universe import Instrument
from tests.support import panels

WEEK, ORIGIN = date(2013, 2, 18), date(2013, 2, 22)


def instrument(symbol: str, first: date, last: date | None = None, calendar: str = "XNYS"):
    return Instrument(
        f"TEST:{symbol}", symbol, symbol, "equity", calendar, "USD", "", first, last
    )  # fmt: skip


def refusals(*instruments: Instrument) -> dict[str, tuple[str, str]]:
    panel = panels.sample_panel().until(ORIGIN)
    rows = refused(panel, panels.weeks(), WEEK, instruments)
    assert {row["week"] for row in rows} == {WEEK}
    return {row["symbol"]: (row["reason"], row["detail"]) for row in rows}


def test_an_instrument_without_a_single_bar_is_refused_while_it_is_listed() -> None:
    found = refusals(
        instrument("NEW", date(2012, 1, 3)),
        instrument("TODAY", ORIGIN),
        instrument("TOMORROW", date(2013, 2, 25)),
        instrument("ENDED", date(2001, 1, 2), date(2013, 2, 21)),
        instrument("ENDS", date(2001, 1, 2), ORIGIN),
        instrument("ELSEWHERE", date(2001, 1, 2), calendar="XLON"),
    )
    assert set(found) == {"FB", "NEW", "TODAY", "ENDS"}
    reason, detail = found["NEW"]
    assert reason == "no_bars"
    assert "expected since 2012-01-03" in detail
    assert "coverage WHERE instrument_id = 'TEST:NEW'" in detail


def test_one_that_ended_is_expected_until_its_last_session_whatever_its_last_bar() -> None:
    """AAPL's last bar is the origin's; here it is cut off a day earlier."""
    panel = panels.sample_panel().until(date(2013, 2, 21))

    def reasons(week: date, last: date | None) -> set[str]:
        listed = instrument("AAPL", date(2000, 1, 3), last)
        ids = panel.frame.filter(pl.col("symbol") == "AAPL")["instrument_id"]
        listed = dataclasses.replace(listed, instrument_id=ids[0])
        rows = refused(panel, panels.weeks(), week, [listed])
        return {row["reason"] for row in rows if row["symbol"] == "AAPL"}

    assert reasons(WEEK, None) == {"origin_missing"}
    assert reasons(WEEK, ORIGIN) == {"origin_missing"}
    assert reasons(date(2013, 2, 25), ORIGIN) == set()
    assert reasons(WEEK, date(2013, 2, 20)) == set()


def test_one_with_bars_is_told_by_its_bars() -> None:
    assert refusals()["FB"][0] == "history_too_short"
    assert refusals(instrument("AAPL", date(2000, 1, 3)), instrument("FB", date(2012, 5, 18))) == (
        refusals()
    )
