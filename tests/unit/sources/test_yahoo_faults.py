"""Each defect of the provider through server, client, source and load into a lake.

Every test asks the same of its fault: nothing stored is lost or changed, every other instrument is
loaded, and the reason in coverage is the right one in words that help.
"""

from collections.abc import Iterator
from datetime import date, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.universe import Validity
from tests.support.yahoo_market import Cash, Split
from tests.support.yahoo_world import FIRST, World, at, day, instrument, listing, sessions

FRIDAY, MONDAY, TUESDAY = day("2020-08-28"), day("2020-08-31"), day("2020-09-01")
WEDNESDAY, THURSDAY = day("2020-09-02"), day("2020-09-03")
INDEX = {one: n for n, one in enumerate(sessions())}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """AAA and BBB, loaded through Friday."""
    with World(tmp_path, listing("AAA"), listing("BBB")) as made:
        made.load(at(FRIDAY), FIRST, FRIDAY)
        yield made


def stamp(session: date, clock: str = "09:30") -> int:
    return int(at(session, clock, "America/New_York").timestamp())


def keeps(world: World, before: dict[str, bytes]) -> None:
    """Nothing written before has changed, and the other instrument is there."""
    after = world.objects()
    assert {name: after.get(name) for name in before} == before
    assert world.server.now is not None
    assert max(world.closes("BBB")) == sessions(last=world.server.now.date())[-1]


# --- transport -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("unauthorized", "unauthorized", "cookie"),
        ("not_found", "not_found", "does not mean it is delisted"),
        ("bad_request", "bad_request", "did not take the request"),
        ("no_range", "empty", "no bar at all"),
        ("empty", "empty", "no bar at all"),
        ("server_error", "server_error", "server failed"),
        ("connection", "connection", "connection"),
        ("truncated", "malformed", "can't be read"),
        ("cut", None, ""),
        ("malformed", "malformed", "can't be read"),
        ("consent_page", "consent_page", "web page"),
    ],
)
def test_no_answer_for_one_symbol(world: World, fault: str, kind: str | None, words: str) -> None:
    before, closes = world.objects(), world.closes()
    world.server.fail("AAA", fault)
    world.load(at(MONDAY))
    keeps(world, before)
    assert world.closes() == closes
    # Friday's bar was provisional and is owed a final one: it lacks a reason as little as Monday's.
    for session in (FRIDAY, MONDAY):
        told = world.reason(session)
        assert told is not None
        assert told["reason"] == "provider_missing"
        assert told["field"] == "response"
        assert told["value"] == kind if kind else told["value"] in ("connection", "malformed")
        assert words in told["detail"]
    assert world.reason(FRIDAY - timedelta(days=1)) is None
    world.server.recover()
    world.load(at(TUESDAY))
    assert {FRIDAY, MONDAY, TUESDAY} <= set(world.closes())
    assert world.bars().filter(session=FRIDAY)["finality"].item() == "final"


@pytest.mark.slow
def test_no_answer_in_time(world: World) -> None:
    before = world.objects()
    world.server.fail("AAA", "timeout", seconds=6)
    world.load(at(MONDAY))
    keeps(world, before)
    told = world.reason(MONDAY)
    assert told is not None
    assert (told["reason"], told["value"]) == ("provider_missing", "timeout")


@pytest.mark.parametrize("fault", ["server_error", "truncated", "consent_page", "rate_limited"])
def test_a_passing_failure_leaves_no_trace(world: World, fault: str) -> None:
    world.server.fail("AAA", fault, times=2)
    world.load(at(MONDAY))
    assert MONDAY in world.closes()
    told = world.reason(MONDAY)
    assert told is not None
    assert told["reason"] == "not_yet_final"


def test_too_many_requests_stop_the_rest_at_once(tmp_path: Path) -> None:
    names = [f"S{n:02}" for n in range(20)]
    with World(tmp_path, *[listing(name) for name in names]) as world:
        world.server.fail("*", "rate_limited")
        world.load(at(FRIDAY), FRIDAY, FRIDAY)
        assert world.requests() <= world.trip_after + 4  # those on their way when it opened
        for name in names:
            told = world.reason(FRIDAY, name)
            assert told is not None
            assert (told["reason"], told["value"]) == ("rate_limited", "rate_limited")
            assert "refuses further requests" in told["detail"]
        world.server.recover()
        world.load(at(MONDAY))
        assert all(FRIDAY in world.closes(name) for name in names)


def test_an_outage_of_all_still_says_why(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA"), listing("BBB")) as world:
        world.server.fail("*", "server_error")
        report = world.load(at(FRIDAY), FIRST, FRIDAY)
        assert world.closes() == {}
        assert world.coverage().height == world.coverage("BBB").height == INDEX[FRIDAY] + 1
        assert report.rows_written == 2 * (INDEX[FRIDAY] + 1)
        # and the next day's load brings the history, though it names one day
        world.server.recover()
        world.load(at(MONDAY))
        assert list(world.closes()) == sessions(last=MONDAY)


# --- clocks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "words"), [(20, "20 minutes behind"), (-20, "20 minutes ahead")]
)
def test_a_wrong_clock_refuses_the_load(world: World, minutes: int, words: str) -> None:
    before = world.objects()
    world.server.date_offset = timedelta(minutes=minutes)
    with pytest.raises(PlatformError, match=words) as error:
        world.load(at(MONDAY))
    assert "timedatectl" in str(error.value)
    assert world.objects() == before
    world.server.date_offset = timedelta(minutes=2)
    world.load(at(MONDAY))
    assert MONDAY in world.closes()


# --- bars ----------------------------------------------------------------------------------------


def put(world: World, session: date, symbol: str = "AAA", **values: float | None) -> None:
    """Overwrite numbers of a session's bar."""
    one = world.server.listings[symbol]
    here = pl.col("session") == session
    one.bars = one.bars.with_columns(
        pl.when(here).then(pl.lit(value, pl.Float64)).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


@pytest.mark.parametrize("due", [False, True])
def test_a_row_without_values(world: World, due: bool) -> None:
    before = world.objects()
    put(world, MONDAY, open=None, high=None, low=None, close=None, volume=None)
    world.load(at(TUESDAY) if due else at(MONDAY), MONDAY, TUESDAY if due else MONDAY)
    keeps(world, before)
    told = world.reason(MONDAY)
    assert MONDAY not in world.closes()
    assert told is not None
    assert told["reason"] == ("provider_missing" if due else "not_yet_final")
    assert told["field"] == ""
    if due:
        assert "row without values" in told["detail"]


def test_a_missing_session_that_comes_a_day_later(world: World) -> None:
    world.server.listings["AAA"].missing = {MONDAY}
    world.load(at(TUESDAY))
    told = world.reason(MONDAY)
    assert told is not None
    assert (told["reason"], told["field"]) == ("provider_missing", "")
    world.server.listings["AAA"].missing = set()
    world.load(at(WEDNESDAY))
    rows = world.bars().filter(session=MONDAY)
    assert rows["finality"].item() == "final"
    assert rows["availability"].item() == "observed"
    assert rows["known_at"].item() == at(WEDNESDAY)


def test_a_partial_last_bar_becomes_final_after_close_and_lag(world: World) -> None:
    whole = INDEX[MONDAY] % 7 + 100
    put(world, MONDAY, close=whole + 0.5, volume=10.0)
    world.load(at(MONDAY, "12:00", "America/New_York"))
    assert world.bars().filter(session=MONDAY)["finality"].item() == "provisional"
    told = world.reason(MONDAY)
    assert told is not None
    assert told["reason"] == "not_yet_final"
    put(world, MONDAY, close=float(whole), volume=1000.0)
    world.load(at(MONDAY, "23:30"))
    assert world.closes()[MONDAY] == whole
    assert world.bars().filter(session=MONDAY)["finality"].item() == "provisional"
    world.load(at(TUESDAY, "19:59"))
    assert world.bars().filter(session=MONDAY)["finality"].item() == "provisional"
    world.load(at(TUESDAY, "20:01"))
    assert world.bars().filter(session=MONDAY)["finality"].item() == "final"


def test_the_price_of_now_behind_the_bar_of_an_open_session(world: World) -> None:
    noon = at(MONDAY, "12:00", "America/New_York")
    world.server.listings["AAA"].live = (int(noon.timestamp()), 104.0, 104.0, 104.0, 104.0, 0.0)
    world.load(noon)
    row = world.bars().filter(session=MONDAY).row(0, named=True)
    assert (row["close"], row["finality"]) == (104.0, "provisional")
    assert world.coverage().filter(pl.col("row_ref") != "").is_empty()


@pytest.mark.parametrize(
    ("values", "field", "value", "words"),
    [
        ({"close": 0.0}, "close", "0.0", "above 0"),
        ({"open": -1.0}, "open", "-1.0", "above 0"),
        ({"low": None}, "low", "null", "no value"),
        ({"volume": -5.0}, "volume", "-5.0", "negative"),
        ({"volume": None}, "volume", "null", "no value"),
        ({"high": 90.0, "low": 95.0}, "high", "90.0", "below the low"),
        ({"close": 130.0}, "close", "130.0", "outside the day's range"),
        ({"open": 10300.0}, "open", "10300.0", "another unit"),
    ],
)
def test_a_bar_that_can_be_none(
    world: World, values: dict[str, float | None], field: str, value: str, words: str
) -> None:
    before = world.objects()
    put(world, MONDAY, **values)
    world.load(at(TUESDAY))
    keeps(world, before)
    assert MONDAY not in world.closes()
    assert TUESDAY in world.closes()
    told = world.reason(MONDAY)
    assert told is not None
    assert (told["reason"], told["field"], told["value"]) == ("rejected", field, value)
    assert words in told["detail"]


def test_a_bad_bar_never_replaces_a_good_one(world: World) -> None:
    world.load(at(TUESDAY))
    good = world.closes()
    put(world, FRIDAY, close=0.0)
    world.load(at(WEDNESDAY))
    assert {one: world.closes()[one] for one in good} == good
    assert world.bars().filter(session=FRIDAY)["finality"].item() == "final"
    told = world.reason(FRIDAY)
    assert told is not None
    assert (told["reason"], told["field"]) == ("rejected", "close")


def test_a_high_below_the_low_by_rounding_is_the_low(world: World) -> None:
    put(world, MONDAY, open=100.0, high=99.99999, low=100.0, close=100.0)
    world.load(at(TUESDAY))
    row = world.bars().filter(session=MONDAY).row(0, named=True)
    assert row["high"] == row["low"] == 100.0


def test_a_row_that_comes_twice(world: World) -> None:
    close = world.server.listings["AAA"].bars.filter(session=MONDAY).row(0)[1:]
    world.server.listings["AAA"].extra = [(stamp(MONDAY, "16:00"), *close)]
    world.load(at(TUESDAY))
    assert world.closes()[MONDAY] == close[3]
    assert world.reason(MONDAY) is None
    assert world.coverage().filter(pl.col("row_ref") != "").is_empty()


def test_two_different_bars_of_one_session(world: World) -> None:
    before = world.objects()
    when = stamp(MONDAY, "16:00")
    world.server.listings["AAA"].extra = [(when, 99.0, 101.0, 98.0, 99.5, 1000.0)] * 2
    world.load(at(TUESDAY))
    keeps(world, before)
    assert MONDAY not in world.closes()
    told = world.reason(MONDAY)
    assert told is not None
    assert (told["reason"], told["field"]) == ("rejected", "open")
    assert "3 different bars" in told["detail"]
    extra = world.coverage().filter(pl.col("row_ref") != "")
    assert extra["row_ref"].to_list() == [f"AAA:{when}", f"AAA:{when}/2"]
    assert extra["value"].to_list() == ["99", "99"]


def test_a_bar_of_a_holiday_is_quarantined(world: World) -> None:
    labor_day = day("2020-09-07")
    world.server.listings["AAA"].extra = [(stamp(labor_day), 100.0, 101.0, 99.0, 100.0, 5.0)]
    for moment in (at("2020-09-08"), at("2020-09-09")):
        world.load(moment)
    assert labor_day not in world.closes()
    extra = world.coverage().filter(pl.col("row_ref") != "").row(0, named=True)
    assert (extra["session"], extra["row_ref"]) == (labor_day, f"AAA:{stamp(labor_day)}")
    assert (extra["reason"], extra["field"]) == ("rejected", "session")
    assert "XNYS is closed on this day" in extra["detail"]
    assert world.lake.read("coverage", labor_day, labor_day).height == 1
    assert "quarantined" in world.last_source.notes()[0]


# --- units ---------------------------------------------------------------------------------------


def london(home: Path, currency: str = "GBp", **more: object) -> World:
    one = instrument(
        "OCDO", calendar="XLON", currency="GBP", symbols={"yahoo": (Validity("OCDO.L"),)}
    )
    market = listing(
        "OCDO.L", calendar="XLON", price=lambda n: 1250 + n, currency=currency, **more,  # type: ignore[arg-type]
        time_zone="Europe/London",
    )  # fmt: skip
    return World(home, market, listing("BBB"), instruments=[one, instrument("BBB")])


def test_pence_become_pounds(tmp_path: Path) -> None:
    paid = day("2020-08-13")
    with london(tmp_path, cash=[Cash(paid, 12.5)]) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        days = sessions("XLON", last=FRIDAY)
        assert list(world.closes("OCDO")) == days
        assert world.closes("OCDO")[FIRST] == pytest.approx(12.50)
        assert world.bars("OCDO")["currency"].unique().to_list() == ["GBP"]
        assert world.actions("OCDO") == [(paid, "dividend", 0.125)]


@pytest.mark.parametrize("run", [1, 3])
def test_pounds_among_pence(tmp_path: Path, run: int) -> None:
    with london(tmp_path) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        before = world.objects()
        odd = sessions("XLON", TUESDAY, day("2020-09-30"))[:run]
        for one in odd:
            put(world, one, "OCDO.L", open=12.9, high=13.0, low=12.8, close=12.9)
        world.load(at("2020-09-07"))
        keeps(world, before)
        assert not set(odd) & set(world.closes("OCDO"))
        for one in odd:
            told = world.reason(one, "OCDO")
            assert told is not None
            assert told["reason"] == "rejected"
            assert told["field"] == "close"
            assert float(told["value"]) == pytest.approx(12.9)
            assert "off by a hundred" in told["detail"]
        assert day("2020-09-04") in world.closes("OCDO")


def test_all_in_another_unit_is_told_by_the_stored_closes(tmp_path: Path) -> None:
    with london(tmp_path) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        closes = world.closes("OCDO")
        market = world.server.listings["OCDO.L"]
        market.bars = market.bars.with_columns(pl.col("open", "high", "low", "close") / 100)
        world.load(at(TUESDAY))
        assert world.closes("OCDO") == closes
        told = world.reason(TUESDAY, "OCDO")
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == ("rejected", "close", "100")


def test_another_currency_refuses_the_answer(world: World) -> None:
    before, closes = world.objects(), world.closes()
    world.server.listings["AAA"].currency = "EUR"
    world.load(at(TUESDAY))
    keeps(world, before)
    assert world.closes() == closes
    for session in (MONDAY, TUESDAY):
        told = world.reason(session)
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == ("rejected", "currency", "EUR")
        assert "the universe says USD" in told["detail"]
    assert world.reason(FRIDAY - timedelta(days=1)) is None
    world.server.listings["AAA"].currency = "USD"
    world.load(at(WEDNESDAY))
    assert {MONDAY, TUESDAY} <= set(world.closes())


# --- corporate actions ---------------------------------------------------------------------------


def halved(n: int) -> float:
    """400 and more until Friday, a quarter of it from Monday on."""
    return 400.0 + n if n <= INDEX[FRIDAY] else (400.0 + n) / 4


def split_world(home: Path, split: Split, *cash: Cash, through: date = FRIDAY) -> World:
    market = listing("AAA", price=halved, splits=[split], cash=cash)
    return World(home, market, listing("BBB"))


def test_a_split_between_two_fetches_changes_nothing_stored(tmp_path: Path) -> None:
    with split_world(tmp_path, Split(MONDAY, 4)) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        before, closes = world.objects(), world.closes()
        assert closes[FRIDAY] == 400.0 + INDEX[FRIDAY]
        world.load(at(TUESDAY))
        keeps(world, before)
        after = world.closes()
        assert {one: after[one] for one in closes} == pytest.approx(closes, rel=1e-6)
        assert after[MONDAY] == pytest.approx(halved(INDEX[MONDAY]), rel=1e-6)
        assert world.actions() == [(MONDAY, "split", 4.0)]
        rows = world.lake.read("equity_prices").filter(pl.col("instrument_id") == "X:AAA")
        # Friday's bar became final; nothing else was said twice.
        assert rows.filter(pl.struct("session").is_duplicated())["session"].unique().to_list() == [
            FRIDAY
        ]
        assert set(rows["volume"]) == {1000.0}


def test_history_fetched_after_a_split_is_as_traded(tmp_path: Path) -> None:
    paid = Cash(day("2020-07-15"), 0.82)
    with split_world(tmp_path, Split(MONDAY, 4), paid) as world:
        world.load(at(TUESDAY), FIRST, TUESDAY)
        assert world.closes() == pytest.approx(
            {one: halved(n) for n, one in enumerate(sessions(last=TUESDAY))}, rel=1e-6
        )
        assert world.actions() == [(day("2020-07-15"), "dividend", 0.82), (MONDAY, "split", 4.0)]
        assert set(world.bars()["volume"]) == {1000.0}


def test_a_range_that_ends_before_a_split_is_as_traded_too(tmp_path: Path) -> None:
    with split_world(tmp_path, Split(MONDAY, 4)) as world:
        world.load(at(THURSDAY), FIRST, day("2020-07-31"))
        assert max(world.closes()) == day("2020-07-31")
        assert world.closes()[FIRST] == pytest.approx(400)
        assert world.actions() == []


def test_a_split_applied_late_is_waited_for(tmp_path: Path) -> None:
    with split_world(tmp_path, Split(MONDAY, 4, applied_on=WEDNESDAY)) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        for moment in (at(MONDAY), at(TUESDAY), at(WEDNESDAY), at(THURSDAY)):
            world.load(moment)
            noted = any("not divided by the split of 4:1" in n for n in world.last_source.notes())
            assert noted == (moment < at(WEDNESDAY))
        assert world.closes() == pytest.approx(
            {one: halved(n) for n, one in enumerate(sessions(last=THURSDAY))}, rel=1e-6
        )


def test_a_split_applied_before_it_is_listed_is_not_guessed(tmp_path: Path) -> None:
    early = Split(MONDAY, 4, applied_on=MONDAY, listed_on=WEDNESDAY)
    with split_world(tmp_path, early) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        before, closes = world.objects(), world.closes()
        world.load(at(MONDAY))
        world.load(at(TUESDAY))
        keeps(world, before)
        assert world.closes() == closes
        for session in (MONDAY, TUESDAY):
            told = world.reason(session)
            assert told is not None
            assert (told["reason"], told["field"], told["value"]) == ("rejected", "close", "4")
            assert "no split it lists explains that" in told["detail"]
        world.load(at(WEDNESDAY))
        assert world.closes() == pytest.approx(
            {one: halved(n) for n, one in enumerate(sessions(last=WEDNESDAY))}, rel=1e-6
        )
        assert world.actions() == [(MONDAY, "split", 4.0)]


def test_a_listed_split_that_the_first_answer_contradicts(tmp_path: Path) -> None:
    with split_world(tmp_path, Split(MONDAY, 4, applied_on=day("2020-10-01"))) as world:
        world.load(at(THURSDAY), FIRST, THURSDAY)
        assert world.closes() == {}
        told = world.reason(FIRST)
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == ("rejected", "split", "4")
        assert max(world.closes("BBB")) == THURSDAY


def test_a_dividend_and_a_capital_gain(tmp_path: Path) -> None:
    paid = [Cash(MONDAY, 0.5), Cash(MONDAY, 0.25, "capitalGains")]
    with World(tmp_path, listing("AAA", cash=paid)) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        world.load(at(MONDAY))
        assert world.actions() == [(MONDAY, "capital_gain", 0.25), (MONDAY, "dividend", 0.5)]
        row = world.lake.as_of("corporate_actions").row(0, named=True)
        assert (row["availability"], row["finality"]) == ("observed", "final")


def test_a_dividend_in_another_currency_is_quarantined(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA", cash=[Cash(MONDAY, 0.5, currency="EUR")])) as world:
        world.load(at(TUESDAY), FIRST, TUESDAY)
        assert world.actions() == []
        extra = world.coverage().filter(pl.col("row_ref") != "").row(0, named=True)
        assert (extra["session"], extra["field"], extra["value"]) == (MONDAY, "currency", "EUR")
        assert MONDAY in world.closes()


def test_an_ex_date_on_a_holiday_belongs_to_the_next_session(tmp_path: Path) -> None:
    labor_day = day("2020-09-07")
    with World(tmp_path, listing("AAA", cash=[Cash(labor_day, 0.5)])) as world:
        world.load(at("2020-09-07"), FIRST, labor_day)
        assert world.actions() == []
        world.load(at("2020-09-08"))
        assert world.actions() == [(day("2020-09-08"), "dividend", 0.5)]


def test_a_restated_close_is_a_revision(world: World) -> None:
    world.load(at(TUESDAY))
    closes = world.closes()
    put(world, MONDAY, close=100.9)
    world.load(at(WEDNESDAY))
    assert world.closes()[MONDAY] == pytest.approx(100.9)
    assert world.closes(moment=at(TUESDAY)) == closes
    row = world.bars().filter(session=MONDAY).row(0, named=True)
    assert row["available_at"] == row["known_at"] == at(WEDNESDAY)


# --- time zones ----------------------------------------------------------------------------------


def test_sessions_of_zones_east_and_west(tmp_path: Path) -> None:
    def one(
        symbol: str, code: str, calendar: str, asset_class: str, currency: str = "USD"
    ) -> object:
        return instrument(
            symbol, calendar=calendar, asset_class=asset_class, currency=currency,
            symbols={"yahoo": (Validity(code),)},
        )  # fmt: skip

    listings = [
        listing("OCDO.L", calendar="XLON", currency="GBp", time_zone="Europe/London"),
        listing("EURUSD=X", calendar="24/5", time_zone="Europe/London", opens=time(0)),
        listing("GC=F", calendar="CMES", opens=time(0)),
        listing("AIR.NZ", calendar="XNZE", currency="NZD", time_zone="Pacific/Auckland",
                opens=time(10)),
    ]  # fmt: skip
    instruments = [
        one("OCDO", "OCDO.L", "XLON", "equity", "GBP"),
        one("EURUSD", "EURUSD=X", "24/5", "fx"),
        one("GOLD", "GC=F", "CMES", "metal"),
        one("AIR", "AIR.NZ", "XNZE", "equity", "NZD"),
    ]
    with World(tmp_path, *listings, instruments=instruments) as world:  # type: ignore[arg-type]
        world.load(at(THURSDAY), FIRST, THURSDAY)
        for made in world.instruments:
            closes = world.closes(made.symbol)
            # Auckland's Friday has opened by now; it is tomorrow's partition
            expected = sessions(made.calendar, FIRST, THURSDAY)
            assert list(closes) == expected, made.symbol
            assert (
                world.coverage(made.symbol).filter(pl.col("reason") != "not_yet_final").is_empty()
            )


def test_a_bar_of_a_session_that_has_not_opened_is_left_for_later(tmp_path: Path) -> None:
    """In summer London's midnight is 23:00 UTC: Yahoo has a bar that 24/5 has not begun."""
    euro = instrument(
        "EURUSD", calendar="24/5", asset_class="fx", symbols={"yahoo": (Validity("EURUSD=X"),)}
    )
    market = listing("EURUSD=X", calendar="24/5", time_zone="Europe/London", opens=time(0))
    with World(tmp_path, market, instruments=[euro]) as world:
        moment = at("2020-09-02", "23:30")
        world.load(moment, FIRST, THURSDAY)
        assert max(world.closes("EURUSD")) == WEDNESDAY
        assert world.reason(THURSDAY, "EURUSD") is None
        world.load(at(THURSDAY, "00:30"))
        assert max(world.closes("EURUSD")) == THURSDAY


def test_a_missing_volume_of_an_index_is_none_traded(tmp_path: Path) -> None:
    spx = instrument("SPX", asset_class="index", symbols={"yahoo": (Validity("^GSPC"),)})
    market = listing("^GSPC")
    market.bars = market.bars.with_columns(pl.lit(None, pl.Float64).alias("volume"))
    with World(tmp_path, market, instruments=[spx]) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        assert set(world.bars("SPX")["volume"]) == {0.0}


def test_a_settlement_outside_the_range_of_a_future_is_kept(tmp_path: Path) -> None:
    gold = instrument(
        "GOLD", asset_class="metal", calendar="CMES", symbols={"yahoo": (Validity("GC=F"),)}
    )
    market = listing("GC=F", calendar="CMES")
    market.bars = market.bars.with_columns(pl.col("close") * 1.02)
    with World(tmp_path, market, instruments=[gold]) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        assert list(world.closes("GOLD")) == sessions("CMES", FIRST, FRIDAY)


def test_bars_after_the_last_session_are_another_companys(tmp_path: Path) -> None:
    gone = instrument("AAA", last_session=FRIDAY)
    with World(tmp_path, listing("AAA"), instruments=[gone]) as world:
        world.load(at(THURSDAY), FIRST, THURSDAY)
        assert max(world.closes()) == FRIDAY
        assert any("another company's" in note for note in world.last_source.notes())
        told = world.reason(MONDAY)
        assert told is not None
        assert (told["reason"], told["value"]) == ("delisted", str(FRIDAY))
