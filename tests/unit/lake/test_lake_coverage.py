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


def lacking(*sessions: int, of: int = 4, count: int = 8, alone: bool = False) -> pl.DataFrame:
    """The states when all instruments, or only the first, lack the bars of some of `count` days."""
    symbols = [f"S{n}" for n in range(of)]
    missing = pl.col("session").is_in([day(n) for n in sessions])
    missing = missing & (pl.col("symbol") == "S0") if alone else missing
    gap = pl.when(missing)
    return expected(" ".join(symbols), count).with_columns(
        state=gap.then(pl.lit("provider_missing")).otherwise(pl.lit("final")),
        detail=gap.then(pl.lit("no bar")).otherwise(pl.lit("")),
        is_outage=pl.lit(False),
    )


@pytest.mark.parametrize(
    ("found", "outages"),
    [
        (lacking(7), {7}),  # nothing of the newest day: it stands still
        (lacking(3), set()),  # bars before and after it: the exchange was closed
        (lacking(3, 4), {3, 4}),
        (lacking(6, 7), {6, 7}),
        (lacking(1, 7), {7}),
        (lacking(6, 7, alone=True), set()),
        (lacking(6, 7, of=2), set()),  # too few to tell
    ],
)
def test_what_most_of_a_calendar_lack_is_an_outage(found: pl.DataFrame, outages: set[int]) -> None:
    judged = coverage.with_stale(found)
    assert judged.drop("is_outage", "detail").equals(found.drop("is_outage", "detail"))
    stale = judged.filter("is_outage")
    assert {(session - MONDAY).days for session in stale["session"]} == outages
    assert all("stale" in detail for detail in stale["detail"])
    assert coverage.outage(judged).share == (1.0 if outages else 0.0)


def test_the_newest_days_that_count_are_those_that_are_due() -> None:
    early = pl.when(pl.col("session") == day(7)).then(pl.lit("not_yet_final")).otherwise("state")
    judged = coverage.with_stale(lacking(6).with_columns(state=early))
    assert judged.filter("is_outage")["session"].unique().to_list() == [day(6)]


def test_what_does_not_ask_a_provider_is_never_stale(workshop: Workshop) -> None:
    """Most files of a folder end before the last of them does."""
    symbols = "AAA BBB CCC"
    workshop.load(
        coverage=[absent(symbol, day(0), "provider_missing") for symbol in symbols.split()]
    )
    wanted = expected(symbols, 1)
    for live, share in ((True, 1.0), (False, 0.0)):
        found = coverage.states(workshop.lake, workshop.settings, "said", wanted, live=live)
        assert coverage.outage(found).share == share


def test_the_heat_map_is_a_picture_of_any_coverage() -> None:
    for symbols in ("AAA", " ".join(f"S{n}" for n in range(80))):
        found = expected(symbols, 70).with_columns(state=pl.lit("final"))
        assert heat_map(found).startswith(b"\x89PNG")


def test_nothing_loaded_is_no_outage(workshop: Workshop) -> None:
    found = coverage.states(workshop.lake, workshop.settings, "said", expected("AAA"))
    assert found.is_empty()
    assert coverage.outage(found).share == 0
