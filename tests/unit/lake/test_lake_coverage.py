"""What became of each expected session, and how an outage is told from a gap."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from stock_platform.lake import coverage
from stock_platform.lake.coverage_plot import heat_map
from tests.support.lake import MONDAY, Workshop, bar, hour, rejected


def expected(symbols: str, sessions: int = 5, *, calendar: str = "XNYS") -> pl.DataFrame:
    """As `sources.base.expected` gives it: every symbol on every day from MONDAY."""
    days = [MONDAY + timedelta(days=n) for n in range(sessions)]
    rows = [
        (
            f"XNAS:{symbol}",
            symbol,
            calendar,
            day,
            datetime(day.year, day.month, day.day, tzinfo=UTC),
        )
        for symbol in symbols.split()
        for day in days
    ]
    return pl.DataFrame(
        rows, schema=["instrument_id", "symbol", "calendar", "session", "open_at"], orient="row"
    )


def absent(symbol: str, session: date, reason: str, **more: Any) -> dict[str, Any]:
    """A row of coverage about an expected bar."""
    row = rejected("", session) | {"reason": reason, "field": "", "value": "", "detail": reason}
    return row | {"symbol": symbol, "instrument_id": f"XNAS:{symbol}"} | more


def states(workshop: Workshop, wanted: pl.DataFrame) -> dict[tuple[str, int], str]:
    found = coverage.states(workshop.lake, workshop.settings, "said", wanted)
    return {
        (symbol, (session - MONDAY).days): state
        for symbol, session, state in found.select("symbol", "session", "state").iter_rows()
    }


def day(n: int) -> date:
    return MONDAY + timedelta(days=n)


def test_every_state_is_told_apart(workshop: Workshop) -> None:
    workshop.load(
        bar("AAA", day(0)),
        bar("BBB", day(0), finality="provisional"),
        coverage=[
            absent("BBB", day(0), "not_yet_final"),
            absent("CCC", day(0), "provider_missing"),
            absent("AAA", day(1), "rate_limited"),
            absent("BBB", day(1), "rejected", value="-1"),
            rejected("file.csv:3", day(1)),  # of AAA, which has a reason of its own there
            rejected("file.csv:4", day(2)),
        ],
    )
    assert states(workshop, expected("AAA BBB CCC")) == {
        ("AAA", 0): "final",
        ("BBB", 0): "not_yet_final",
        ("CCC", 0): "provider_missing",
        ("AAA", 1): "rate_limited",
        ("BBB", 1): "rejected",
        ("CCC", 1): "unexplained",
        ("AAA", 2): "rejected",
        ("BBB", 2): "unexplained",
        ("CCC", 2): "unexplained",
    }


def test_a_bar_that_came_later_ends_the_reason(workshop: Workshop) -> None:
    workshop.load(coverage=[absent("AAA", day(0), "rate_limited")])
    workshop.load(bar("AAA", day(0)), at=hour(1))
    found = coverage.states(workshop.lake, workshop.settings, "said", expected("AAA", 1))
    assert found.select("state", "is_outage", "detail").rows() == [("final", False, "")]


def test_a_session_that_had_not_opened_at_the_last_load_is_not_expected(workshop: Workshop) -> None:
    workshop.load(bar("AAA", day(0)))
    late = expected("AAA BBB", 1).with_columns(open_at=pl.lit(hour(5)))
    assert states(workshop, late) == {}
    workshop.load(bar("CCC", day(0)), at=hour(6))
    assert states(workshop, late) == {("AAA", 0): "final", ("BBB", 0): "unexplained"}


def test_another_calendars_sessions_are_its_own(workshop: Workshop) -> None:
    workshop.load(bar("AAA", day(0)))
    both = pl.concat([expected("AAA", 1), expected("LON", 1, calendar="XLON")])
    assert states(workshop, both) == {("AAA", 0): "final"}


@pytest.mark.parametrize(
    ("reason", "field", "outage"),
    [
        ("rate_limited", "", True),
        ("provider_missing", "response", True),
        ("provider_missing", "", False),
        ("rejected", "response", False),
        ("closed", "", False),
    ],
)
def test_an_outage_is_the_providers_and_not_a_gap(
    workshop: Workshop, reason: str, field: str, outage: bool
) -> None:
    workshop.load(coverage=[absent("AAA", day(0), reason, field=field, detail="HTTP 500")])
    found = coverage.states(workshop.lake, workshop.settings, "said", expected("AAA", 1))
    assert found["is_outage"].to_list() == [outage]
    worst = coverage.outage(found)
    assert worst.share == (1.0 if outage else 0.0)
    assert worst.examples == ([f"AAA {day(0)}: HTTP 500"] if outage else [])


def test_an_outage_of_one_evening_does_not_vanish_among_years() -> None:
    found = expected("AAA BBB", 400).with_columns(
        state=pl.lit("final"), detail=pl.lit(""), is_outage=pl.col("session") == day(399)
    )
    worst = coverage.outage(found)
    assert (worst.share, worst.where) == (1.0, f"session {day(399)}")
    old = found.with_columns(is_outage=pl.col("session") == day(3))
    assert coverage.outage(old).share == pytest.approx(1 / 400)


def test_the_heat_map_is_a_picture_of_any_coverage() -> None:
    for symbols in ("AAA", " ".join(f"S{n}" for n in range(80))):
        found = expected(symbols, 70).with_columns(state=pl.lit("final"))
        assert heat_map(found).startswith(b"\x89PNG")


def test_nothing_loaded_is_no_outage(workshop: Workshop) -> None:
    found = coverage.states(workshop.lake, workshop.settings, "said", expected("AAA"))
    assert found.is_empty()
    assert coverage.outage(found).share == 0
