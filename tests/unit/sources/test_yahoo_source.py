"""What the source asks, and when; and what a load of it leaves in the lake when all is well."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake import ingest
from stock_platform.sources import base, get_source, responses
from stock_platform.sources.base import SourceError
from stock_platform.sources.packed import packed_keys, read_packed
from stock_platform.sources.yahoo import EARLIEST, YahooSource
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.sources.yahoo_plan import ACTIONS_REACH
from stock_platform.universe import Instrument, Validity
from tests.support.yahoo_market import Split
from tests.support.yahoo_world import FIRST, World, at, day, instrument, listing, next_day, sessions

FRIDAY, MONDAY, TUESDAY = day("2020-08-28"), day("2020-08-31"), day("2020-09-01")
OCTOBER = day("2020-10-01")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """AAA and BBB."""
    with World(tmp_path, listing("AAA"), listing("BBB")) as made:
        yield made


def asked_from(world: World, symbol: str = "AAA") -> date:
    """The day the last question for a symbol began at."""
    seen = [one for one in world.server.seen if one.symbol == symbol][-1]
    return next_day(datetime.fromtimestamp(int(seen.query["period1"]), UTC).date())


# --- what is delivered ---------------------------------------------------------------------------


def test_a_first_load_brings_every_session_final_but_the_last(world: World) -> None:
    report = world.load(at(FRIDAY), FIRST, FRIDAY)
    days = sessions(last=FRIDAY)
    rows = world.bars()
    assert rows["session"].to_list() == days
    assert rows["finality"].to_list() == ["final"] * (len(days) - 1) + ["provisional"]
    assert rows["close"].to_list() == pytest.approx([100.0 + n % 7 for n in range(len(days))])
    assert rows["availability"].to_list()[0] == "assumed"
    assert rows["availability"].to_list()[-1] == "observed"
    assert world.coverage()["reason"].to_list() == ["not_yet_final"]
    assert report.rows_written == 2 * (len(days) + 1)
    assert world.requests() == 2


def test_loading_again_writes_nothing(world: World) -> None:
    world.load(at(FRIDAY), FIRST, FRIDAY)
    before = world.objects()
    report = world.load(at(FRIDAY, "23:30"), FIRST, FRIDAY)
    assert report.rows_written == 0
    assert world.objects() == before


def test_every_expected_session_has_a_final_bar_or_a_reason(world: World) -> None:
    world.server.listings["AAA"].missing = {day("2020-07-10"), day("2020-08-03")}
    for moment in (at(FRIDAY), at(MONDAY), at(TUESDAY)):
        world.load(moment, FIRST, moment.date())
        expected = base.expected(world.instruments, FIRST, moment.date())
        told = pl.concat(
            [
                world.lake.as_of("equity_prices")
                .filter(pl.col("finality") == "final")
                .select("instrument_id", "session"),
                world.lake.as_of("coverage").select("instrument_id", "session"),
            ]
        )
        assert expected.join(told, on=["instrument_id", "session"], how="anti").is_empty()


def test_extract_says_what_the_chunks_say(world: World) -> None:
    world.server.now = at(FRIDAY)
    source = world.source()
    whole = source.extract(FIRST, FRIDAY, at(FRIDAY))
    parts = list(source.chunks(FIRST, FRIDAY, at(FRIDAY)))
    assert [part.tables["equity_prices"]["symbol"][0] for part in parts] == ["AAA", "BBB"]
    assert whole.tables["equity_prices"].height == sum(
        part.tables["equity_prices"].height for part in parts
    )


def test_the_order_of_answers_is_that_of_the_instruments(tmp_path: Path) -> None:
    names = [f"S{n:02}" for n in range(12)]
    with World(tmp_path, *[listing(name) for name in names]) as world:
        world.server.now = at(FRIDAY)
        world.server.fail("S00", "server_error", times=2)  # answered last
        parts = world.source().chunks(FIRST, FRIDAY, at(FRIDAY))
        assert [p.tables["equity_prices"]["symbol"][0] for p in parts] == names


# --- what is asked -------------------------------------------------------------------------------


def test_history_that_is_final_is_not_asked_for(world: World) -> None:
    world.load(at(OCTOBER), FIRST, OCTOBER)
    asked, before = world.requests(), world.objects()
    report = world.load(at(OCTOBER), FIRST, FRIDAY)
    assert (world.requests(), report.rows_received) == (asked, 0)
    assert world.objects() == before


def test_a_daily_load_delivers_the_window_and_its_overlap(world: World) -> None:
    world.load(at(FRIDAY), FIRST, FRIDAY)
    report = world.load(at(MONDAY))
    days = sessions(last=MONDAY)
    assert world.requests() == 4
    delivered = report.by_session.filter(dataset="equity_prices")["session"].to_list()
    assert delivered == days[-20:]
    assert MONDAY in world.closes()
    assert world.bars().filter(session=FRIDAY)["finality"].item() == "final"


def test_a_load_without_a_window_asks_for_what_is_owed_and_its_overlap(world: World) -> None:
    world.refetch = 0
    world.load(at(FRIDAY), FIRST, FRIDAY)
    report = world.load(at(MONDAY))
    delivered = report.by_session.filter(dataset="equity_prices")["session"].to_list()
    assert delivered == sessions(last=MONDAY)[-7:]  # Friday is owed; five before it
    assert world.bars().filter(session=FRIDAY)["finality"].item() == "final"


def test_a_daily_load_asks_as_far_back_as_actions_may_be_late(world: World) -> None:
    late = day("2020-12-01")
    world.load(at(late), FIRST, late)
    world.load(at("2020-12-02"))
    assert asked_from(world) == sessions(last=day("2020-12-02"))[-10] - ACTIONS_REACH


def test_days_that_no_load_ran_are_made_up_for(world: World) -> None:
    world.load(at("2020-07-31"), FIRST, day("2020-07-31"))
    world.load(at(OCTOBER))
    assert list(world.closes()) == sessions(last=OCTOBER)


def test_an_outage_longer_than_the_window_is_made_up_for(world: World) -> None:
    world.refetch = 2
    world.load(at("2020-07-31"), FIRST, day("2020-07-31"))
    world.server.fail("AAA", "not_found")
    for one in sessions(first=day("2020-08-03"), last=day("2020-08-12")):
        world.load(at(one))
    world.server.recover()
    world.load(at("2020-08-13"))
    assert list(world.closes()) == sessions(last=day("2020-08-13"))


def test_a_new_instrument_is_asked_for_since_the_lake_begins(world: World) -> None:
    world.instruments = world.instruments[:1]
    world.load(at(FRIDAY), FIRST, FRIDAY)
    world.instruments += [instrument("BBB", first_session=day("2020-07-06"))]
    world.load(at(MONDAY))
    assert list(world.closes("BBB")) == sessions(first=day("2020-07-06"), last=MONDAY)


def test_a_symbol_that_never_answers_is_told_of_once(world: World) -> None:
    world.server.fail("AAA", "not_found")
    world.load(at(FRIDAY), FIRST, FRIDAY)
    told = world.coverage().height
    assert told == len(sessions(last=FRIDAY))
    report = world.load(at(MONDAY))
    assert world.coverage().height == told + 1
    own = report.by_session.filter(dataset="coverage")
    assert own["session"].to_list() == sessions(last=MONDAY)[-10:]


def test_a_range_in_the_past_delivers_nothing_after_it(world: World) -> None:
    world.load(at(OCTOBER), day("2020-08-03"), day("2020-08-14"))
    assert list(world.closes()) == sessions(first=day("2020-08-03"), last=day("2020-08-14"))
    world.load(at(OCTOBER), FIRST, day("2020-07-10"))
    assert set(world.closes()) == {
        *sessions(first=FIRST, last=day("2020-07-10")),
        *sessions(first=day("2020-08-03"), last=day("2020-08-14")),
    }


def test_a_gap_in_the_past_is_confirmed_on_both_sides(tmp_path: Path) -> None:
    """Provider and lake disagree, and only what is stored behind the gap can tell."""
    with World(tmp_path, listing("AAA")) as world:
        world.load(at(OCTOBER), day("2020-08-03"), day("2020-08-14"))
        market = world.server.listings["AAA"]
        market.bars = market.bars.with_columns(pl.col("open", "high", "low", "close") / 3)
        world.load(at(OCTOBER, "23:30"), FIRST, day("2020-07-31"))
        assert min(world.closes()) == day("2020-08-03")
        told = world.reason(FIRST)
        assert told is not None
        assert (told["reason"], told["value"]) == ("rejected", "3")


def test_what_was_rejected_is_asked_for_when_named(world: World) -> None:
    market = world.server.listings["AAA"]
    good = market.bars
    market.bars = good.with_columns(
        pl.when(pl.col("session") == FIRST).then(0.0).otherwise("close").alias("close")
    )
    world.load(at(OCTOBER), FIRST, OCTOBER)
    assert FIRST not in world.closes()
    market.bars = good
    world.load(at(OCTOBER, "23:30"), FIRST, FIRST)
    assert world.closes()[FIRST] == 100.0


# --- names ---------------------------------------------------------------------------------------


def test_a_renamed_ticker_is_one_history(tmp_path: Path) -> None:
    renamed = instrument(
        "META",
        symbols={
            "yahoo": (
                Validity("FB", last_session=FRIDAY),
                Validity("META", first_session=MONDAY),
            )
        },
    )
    with World(tmp_path, listing("META"), instruments=[renamed]) as world:
        world.load(at(TUESDAY), FIRST, TUESDAY)
        rows = world.bars("META")
        assert rows["session"].to_list() == sessions(last=TUESDAY)
        assert dict(rows.select("session", "symbol").iter_rows())[FRIDAY] == "FB"
        assert dict(rows.select("session", "symbol").iter_rows())[MONDAY] == "META"
        assert {one.symbol for one in world.server.seen} <= {"META", ""}


def test_a_recycled_ticker_is_not_asked_for(tmp_path: Path) -> None:
    old = instrument(
        "OLD",
        symbols={"yahoo": (Validity("AAA"),)},
        last_session=day("2020-07-31"),
        recycled=frozenset({"yahoo"}),
    )
    new = instrument("AAA", first_session=day("2020-08-10"))
    with World(tmp_path, listing("AAA"), instruments=[old, new]) as world:
        world.load(at(FRIDAY), FIRST, FRIDAY)
        assert world.requests() == 1
        assert list(world.closes()) == sessions(first=day("2020-08-10"), last=FRIDAY)
        assert world.closes("OLD") == {}
        told = world.reason(FIRST, "OLD")
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == (
            "provider_missing", "symbol", "AAA",
        )  # fmt: skip
        assert "another company's" in told["detail"]


def test_delisted_is_what_the_universe_says_so(world: World) -> None:
    world.load(at(FRIDAY), FIRST, FRIDAY)
    world.instruments[0] = replace(world.instruments[0], last_session=FRIDAY)
    world.load(at(MONDAY))
    told = world.reason(MONDAY)
    assert told is not None
    assert (told["reason"], told["field"], told["value"]) == (
        "delisted", "last_session", str(FRIDAY),
    )  # fmt: skip
    assert max(world.closes()) == FRIDAY
    assert world.bars().filter(session=FRIDAY)["finality"].item() == "final"
    world.load(at(OCTOBER))
    asked = world.server.asked("AAA")
    world.load(at("2020-10-02"))
    assert world.server.asked("AAA") == asked  # nothing of it is owed any more
    assert world.coverage().filter(reason="delisted").height == 1


def test_an_instrument_delisted_long_ago_is_made_up_for_once(world: World) -> None:
    world.instruments = world.instruments[:1]
    world.load(at(OCTOBER), FIRST, OCTOBER)
    world.instruments += [instrument("BBB", last_session=day("2020-07-31"))]
    world.load(at("2020-10-02"))
    assert list(world.closes("BBB")) == sessions(last=day("2020-07-31"))
    world.load(at("2020-10-05"))
    assert world.server.asked("BBB") == 1


@pytest.mark.parametrize(("fault", "again"), [("not_found", 0), ("server_error", 1)])
def test_an_instrument_delisted_long_ago_that_yahoo_has_forgotten(
    world: World, fault: str, again: int
) -> None:
    world.instruments = world.instruments[:1]
    world.load(at(OCTOBER), FIRST, OCTOBER)
    world.instruments += [instrument("BBB", last_session=day("2020-07-31"))]
    world.server.fail("BBB", fault)
    world.load(at("2020-10-02"))
    assert world.coverage("BBB").filter(reason="delisted").height == 1 - again
    assert world.reason(FIRST, "BBB")["value"] == fault  # type: ignore[index]
    world.server.recover()
    asked = world.server.asked("BBB")
    world.load(at("2020-10-05"))
    assert world.server.asked("BBB") == asked + again
    assert len(world.closes("BBB")) == again * len(sessions(last=day("2020-07-31")))


# --- a load that is killed -----------------------------------------------------------------------


def test_a_killed_load_resumes_from_its_journal(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(responses.Journal, "pack", killed)
        with pytest.raises((KeyboardInterrupt, PlatformError)):
            world.load(at(FRIDAY), FIRST, FRIDAY)
    assert world.closes() == {}
    asked = world.requests()
    world.load(at(FRIDAY, "23:30"), FIRST, FRIDAY)
    assert world.requests() == asked
    assert list(world.closes()) == sessions(last=FRIDAY)


def test_the_responses_of_a_load_are_kept_in_the_lake(world: World) -> None:
    world.load(at(FRIDAY), FIRST, FRIDAY)
    (key,) = packed_keys(world.lake.store, "yahoo")
    packed = read_packed(world.lake.store, key)
    assert packed.known_at == at(FRIDAY)
    assert [one.request for one in packed.responses] == ["AAA", "BBB"]
    assert not list((world.home / "responses" / "yahoo").glob("*.zst"))


# --- itself --------------------------------------------------------------------------------------


def quiet(now: datetime, *instruments: Instrument) -> YahooSource:
    def connect(recorded: bool) -> object:
        raise AssertionError("nobody is to be asked")

    return YahooSource(list(instruments), connect, now=lambda: now)  # type: ignore[arg-type]


def test_span_is_from_the_first_partition_to_today() -> None:
    old = instrument("AAA", first_session=day("1990-01-02"))
    assert quiet(at(FRIDAY), old, instrument("BBB")).span() == (EARLIEST, FRIDAY)
    assert quiet(at(FRIDAY), instrument("BBB")).span() == (FIRST, FRIDAY)


def test_the_first_session_is_that_of_the_partitions() -> None:
    from stock_platform import partitions

    assert partitions.START == EARLIEST


def test_fingerprint_changes_when_there_is_something_new() -> None:
    def print_of(moment: datetime, *more: Instrument) -> str:
        return quiet(moment, instrument("AAA"), *more).fingerprint()

    night = print_of(at(FRIDAY, "22:00"))
    assert night == print_of(at(FRIDAY, "22:20")) == print_of(at("2020-08-29", "12:00"))
    assert night != print_of(at(FRIDAY, "19:59"))  # before the close
    assert night != print_of(at("2020-08-29", "20:01"))  # Friday's bar is due
    assert night != print_of(at(FRIDAY, "22:00"), instrument("BBB"))


def test_check_asks_once_and_keeps_nothing(world: World) -> None:
    # The provider's calendar ends in 2020, the check asks for this week.
    world.server.fail("AAA", "no_range")
    with pytest.raises(SourceError, match="no bar at all"):
        world.source().check()
    today = datetime.now(UTC).date()
    recent = sessions(first=today - timedelta(days=6), last=today)[:3]
    world.server.recover()
    world.server.listings["AAA"] = listing("AAA", days=recent)
    assert world.source().check() == "Yahoo Finance answers; 2 instruments"
    assert not (world.home / "responses").exists()


def test_check_names_what_fails(world: World) -> None:
    world.server.fail("*", "connection")
    with pytest.raises(SourceError, match="STOCK_PLATFORM_YAHOO_URL"):
        world.source().check()


def test_the_settings_make_it(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA")) as world:
        file = tmp_path / "universe.yaml"
        file.write_text(
            "instruments:\n"
            "  - {instrument_id: 'X:AAA', symbol: AAA, name: A, calendar: XNYS, currency: USD,\n"
            f"     first_session: {FIRST}, symbols: {{yahoo: AAA}}}}\n"
        )
        settings = world.settings.model_copy(update={"universe": file, "source": "yahoo"})
        source = get_source(settings)
        assert source.live
        world.server.now = at(FRIDAY)
        ingest.load(source, world.lake, FIRST, FRIDAY, settings=settings, known_at=at(FRIDAY))
        source.loaded()
        assert list(world.closes()) == sessions(last=FRIDAY)
        (key,) = packed_keys(world.lake.store, "yahoo")
        assert read_packed(world.lake.store, key).universe == file.read_text()


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        settings = world.settings.model_copy(update={"source": "yahoo"})
        source = get_source(settings)
        assert source.instruments()
        source.fingerprint()
        source.span()
        assert not (tmp_path / "responses").exists()
        assert not (tmp_path / "catalog.db").exists()


def test_a_view_without_a_lake_knows_nothing() -> None:
    view = LakeView("yahoo")
    assert view.begins() is None
    assert view.rows("equity_prices", FIRST, FRIDAY, ["close"]).is_empty()


def test_two_splits_and_a_year_of_loads_day_by_day(tmp_path: Path) -> None:
    """As traded, whatever the provider divides by in the meantime."""
    days = sessions()
    cuts = {days[20]: 2.0, days[23]: 0.5, days[40]: 3.0}

    def price(n: int) -> float:
        value = 600.0 + n
        for cut, ratio in cuts.items():
            value = value / ratio if days[n] >= cut else value
        return value

    splits = [Split(one, ratio) for one, ratio in cuts.items()]
    with World(tmp_path, listing("AAA", price=price, splits=splits)) as world:
        for one in days[15:45:3]:
            world.load(at(one), max(FIRST, days[0]), one)
        got = world.closes()
        assert got == pytest.approx({d: price(n) for n, d in enumerate(days[: len(got)])}, rel=1e-6)
        rows = world.lake.read("equity_prices").filter(finality="final")
        assert not rows.select("session").is_duplicated().any()
