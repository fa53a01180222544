"""What changes behind our back: Yahoo takes something back, corrects much, answers short or names
an action late; a person edits the universe. Each heals, or says what a person has to do."""

from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_platform.lake import coverage
from stock_platform.lake.coverage import Outage
from stock_platform.sources import base
from stock_platform.universe import Validity
from tests.support.yahoo_market import Cash, Listing, Split
from tests.support.yahoo_world import FIRST, World, at, day, instrument, listing, sessions

OCTOBER = day("2020-10-01")
PRICES = ("open", "high", "low", "close")


def states(world: World) -> pl.DataFrame:
    assert world.server.now is not None
    expected = base.expected(world.instruments, FIRST, world.server.now.date())
    return coverage.states(world.lake, world.settings, "yahoo", expected)


def outage(world: World) -> Outage:
    return coverage.outage(states(world))


def unexplained(world: World) -> int:
    return states(world).filter(state=coverage.UNEXPLAINED).height


def scale(one: Listing, share: float, *days: date) -> None:
    """Restate the bars of some days, or all."""
    here = pl.col("session").is_in(days or one.bars["session"].to_list())
    one.bars = one.bars.with_columns(
        pl.when(here).then(pl.col(name) * share).otherwise(name).alias(name) for name in PRICES
    )


# --- actions that come late, or go again ---------------------------------------------------------


def test_a_dividend_listed_weeks_late_arrives_the_evening_it_is_listed(tmp_path: Path) -> None:
    paid, listed = day("2020-09-10"), day("2020-11-05")
    with World(tmp_path, listing("AAA", cash=[Cash(paid, 1.5, listed_on=listed)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.load(at("2020-11-04"))
        assert world.actions() == []
        world.load(at(listed))
        assert world.actions() == [(paid, "dividend", 1.5)]
        before = world.objects()
        world.load(at(listed, "23:30"))
        assert world.objects() == before


def test_a_dividend_listed_after_most_of_a_year_arrives_with_a_load_of_its_day(
    tmp_path: Path,
) -> None:
    paid, listed = day("2020-07-08"), day("2020-12-15")
    with World(tmp_path, listing("AAA", cash=[Cash(paid, 1.5, listed_on=listed)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.load(at(listed))
        assert world.actions() == []
        world.load(at(listed, "23:30"), FIRST, listed)
        assert world.actions() == [(paid, "dividend", 1.5)]


def test_a_phantom_split_is_withdrawn_when_the_closes_agree_without_it(tmp_path: Path) -> None:
    phantom = day("2020-10-05")
    with World(tmp_path, listing("AAA")) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.server.listings["AAA"].splits = [Split(phantom, 2)]
        world.load(at(phantom))
        assert world.actions() == [(phantom, "split", 2.0)]
        world.server.listings["AAA"].splits = []
        world.load(at("2020-10-06"))
        assert world.actions() == [(phantom, "split", 1.0)]
        assert any("withdrawn" in note for note in world.last_source.notes())
        known = world.lake.as_of("corporate_actions", at(phantom))
        assert known["value"].to_list() == [2.0]
        before = world.objects()
        world.load(at("2020-10-06", "23:30"))
        assert (world.objects(), world.last_source.notes()) == (before, [])
        days = sessions(last=day("2020-10-06"))
        assert list(world.closes().values()) == pytest.approx([100.0 + n % 7 for n in range(68)])
        assert list(world.closes()) == days
        # and if it was true after all
        world.server.listings["AAA"].splits = [Split(phantom, 2)]
        world.load(at("2020-10-07"))
        assert world.actions() == [(phantom, "split", 2.0)]


def test_a_phantom_dividend_is_withdrawn_when_the_adjusted_close_leaves_it_out(
    tmp_path: Path,
) -> None:
    true, phantom = Cash(day("2020-09-10"), 0.5), Cash(day("2020-09-11"), 0.7)
    with World(tmp_path, listing("AAA", cash=[true, phantom])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.server.listings["AAA"].cash = [true]
        world.load(at("2020-10-02"))
        assert world.actions() == [
            (true.ex_date, "dividend", 0.5),
            (phantom.ex_date, "dividend", 0.0),
        ]


def test_what_a_list_leaves_out_for_once_stays(tmp_path: Path) -> None:
    """Yahoo's prices still contain the payment and are still divided by the split."""
    paid, split = Cash(day("2020-09-10"), 0.5), Split(day("2020-09-21"), 2)
    with World(tmp_path, listing("AAA", cash=[paid], splits=[split])) as world:
        price = lambda n: 100.0 if n < 56 else 50.0  # noqa: E731
        world.server.listings["AAA"] = listing("AAA", price=price, cash=[paid], splits=[split])
        world.load(at(OCTOBER), FIRST, OCTOBER)
        stored = world.actions()
        assert len(stored) == 2
        later = day("2020-12-01")
        market = world.server.listings["AAA"]
        market.cash = [replace(paid, listed_on=later)]
        market.splits = [replace(split, listed_on=later)]
        world.load(at("2020-10-02"))
        assert world.actions() == stored
        world.server.fail("AAA", "server_error")
        world.load(at("2020-10-05"))
        assert world.actions() == stored


def test_actions_outside_of_the_answer_stay(tmp_path: Path) -> None:
    old = Cash(day("2020-07-08"), 0.5)
    with World(tmp_path, listing("AAA", cash=[old])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.server.listings["AAA"].cash = []
        late = day("2020-12-15")
        world.load(at(late))
        assert world.actions() == [(old.ex_date, "dividend", 0.5)]
        world.load(at(late, "23:30"), FIRST, late)
        assert world.actions() == [(old.ex_date, "dividend", 0.0)]


@pytest.mark.parametrize(
    ("amount", "words"), [(150.0, "whole price or more"), (50.0, "did not fall by it")]
)
def test_a_dividend_off_by_a_hundred_is_refused(tmp_path: Path, amount: float, words: str) -> None:
    paid = day("2020-09-10")
    with World(tmp_path, listing("AAA", cash=[Cash(paid, amount)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        assert world.actions() == []
        told = world.coverage().filter(row_ref=f"AAA:dividend:{paid}").row(0, named=True)
        assert (told["session"], told["reason"]) == (paid, "rejected")
        assert (told["field"], told["value"]) == ("dividend", f"{amount:g}")
        assert words in told["detail"]
        assert paid in world.closes()


def test_a_large_special_dividend_that_the_price_shows_is_kept(tmp_path: Path) -> None:
    days = sessions()
    price = lambda n: 100.0 if n < 49 else 62.0  # noqa: E731
    with World(tmp_path, listing("AAA", price=price, cash=[Cash(days[49], 40.0)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        assert world.actions() == [(days[49], "dividend", 40.0)]


# --- answers that are not whole ------------------------------------------------------------------


def test_an_answer_that_begins_late_is_an_outage_and_is_asked_for_again(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA"), listing("BBB")) as world:
        for one in world.server.listings.values():
            one.missing = set(sessions(last=day("2020-09-15")))
        world.load(at(OCTOBER), FIRST, OCTOBER)
        assert outage(world).share > 0.8
        told = world.reason(FIRST)
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == (
            "provider_missing", "response", "short",
        )  # fmt: skip
        assert f"has bars since {FIRST}" in told["detail"]
        for one in world.server.listings.values():
            one.missing = set()
        world.load(at("2020-10-02"))
        assert list(world.closes()) == sessions(last=day("2020-10-02"))
        assert outage(world).share == 0


def test_a_history_that_begins_when_the_share_did_is_whole(tmp_path: Path) -> None:
    later = day("2020-08-03")
    with World(tmp_path, listing("AAA", days=sessions(first=later))) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        assert outage(world).share == 0
        asked = world.requests()
        world.load(at(OCTOBER, "23:30"), FIRST, day("2020-09-01"))
        assert world.requests() == asked + 1, "a named range asks for what is missing"


@pytest.mark.parametrize("lacking", [1, 4])
def test_a_provider_that_stands_still_is_an_outage(tmp_path: Path, lacking: int) -> None:
    symbols = ("AAA", "BBB", "CCC", "DDD")
    days = sessions(first=day("2020-10-02"), last=day("2020-10-08"))[:lacking]
    with World(tmp_path, *map(listing, symbols)) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        for one in world.server.listings.values():
            one.missing = set(days)
        for session in sessions(first=days[0], last=day("2020-10-08"))[: lacking + 1]:
            world.load(at(session))
        worst = outage(world)
        assert worst.share == 1
        assert worst.where == f"session {days[-1]}"
        assert "its answers are stale" in worst.examples[0]
        for one in world.server.listings.values():
            one.missing = set()
        world.load(at("2020-10-09"))
        assert outage(world).share == 0


# --- much of a history stated otherwise ----------------------------------------------------------


def test_many_small_corrections_are_revisions(tmp_path: Path) -> None:
    """All closes that an evening compares, each by its own share."""
    with World(tmp_path, listing("AAA")) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.load(at("2020-10-02"))
        for n, one in enumerate(sessions(last=OCTOBER)):
            scale(world.server.listings["AAA"], 1.001 + n * 0.0003, one)
        world.load(at("2020-10-05"))
        assert world.reason("2020-10-05")["reason"] == "not_yet_final"  # type: ignore[index]
        assert any("kept as revisions" in note for note in world.last_source.notes())
        revised = world.closes()[day("2020-09-30")]
        assert revised == pytest.approx((100 + 63 % 7) * (1.001 + 63 * 0.0003), rel=1e-6)


def test_a_small_change_by_one_ratio_is_another_basis(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA")) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        scale(world.server.listings["AAA"], 1.004)
        world.load(at("2020-10-02"))
        told = world.reason("2020-10-02")
        assert told is not None
        assert (told["reason"], told["field"]) == ("rejected", "close")
        assert "another row in the universe" in told["detail"]


def test_a_split_on_a_day_of_a_deep_fall(tmp_path: Path) -> None:
    days = sessions()
    price = lambda n: 200.0 if n < 40 else 65.0  # noqa: E731
    with World(tmp_path, listing("AAA", price=price, splits=[Split(days[40], 2)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        assert list(world.closes()) == sessions(last=OCTOBER)
        assert world.closes()[FIRST] == 200.0


def anew(world: World, since: date, **more: object) -> None:
    """What a person writes to take a history as Yahoo states it now."""
    until = since - timedelta(days=1)
    rows = (Validity("AAA", last_session=until), Validity("AAA", first_session=since))
    world.instruments = [instrument("AAA", symbols={"yahoo": rows}, **more)]


def test_a_currency_that_changed_is_taken_anew_when_a_person_says_so(tmp_path: Path) -> None:
    with World(tmp_path, listing("AAA", cash=[Cash(day("2020-09-10"), 0.5)])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        market = world.server.listings["AAA"]
        market.currency = "EUR"
        scale(market, 0.85)
        market.cash = [Cash(day("2020-09-10"), 0.425)]
        world.instruments = [instrument("AAA", currency="EUR")]
        world.load(at("2020-10-02"))
        told = world.reason("2020-10-02")
        assert told is not None
        assert (told["reason"], told["field"], told["value"]) == ("rejected", "currency", "USD")
        assert "the lake holds it in USD (up to 2020-09-30)" in told["detail"]
        assert "another row in the universe" in told["detail"]
        before = world.objects()
        anew(world, day("2020-10-05"), currency="EUR")
        world.load(at("2020-10-05"))
        assert world.bars()["currency"].unique().to_list() == ["EUR"]
        assert list(world.closes()) == sessions(last=day("2020-10-05"))
        assert world.closes()[FIRST] == pytest.approx(85.0)
        assert world.actions() == [(day("2020-09-10"), "dividend", 0.425)]
        assert world.closes(moment=at(OCTOBER))[FIRST] == 100.0
        after = world.objects()
        assert {name: after[name] for name in before} == before
        world.load(at("2020-10-05", "23:30"))
        assert world.objects() == after
        asked = world.server.asked("AAA")
        world.load(at("2020-10-06"))
        assert world.server.asked("AAA") == asked + 1


def test_a_history_without_a_split_it_had_is_taken_anew(tmp_path: Path) -> None:
    """All closes a third higher for good, and the stored split gone."""
    split = Split(day("2020-08-31"), 2)
    price = lambda n: 100.0 + n % 7 if n < 42 else 50.0 + n % 7  # noqa: E731
    with World(tmp_path, listing("AAA", price=price, splits=[split])) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        market = world.server.listings["AAA"]
        scale(market, 1.3)
        market.splits = []
        world.load(at("2020-10-02"))
        assert world.reason("2020-10-02")["reason"] == "rejected"  # type: ignore[index]
        anew(world, day("2020-10-05"))
        world.load(at("2020-10-05"))
        assert world.closes()[FIRST] == pytest.approx(130.0)
        assert world.actions() == [(split.ex_date, "split", 1.0)]
        assert unexplained(world) == 0


# --- another universe ----------------------------------------------------------------------------


def test_an_earlier_first_session_is_made_up_for_by_the_next_evening(tmp_path: Path) -> None:
    later = instrument("BBB", first_session=day("2020-09-01"))
    with World(
        tmp_path, listing("AAA"), listing("BBB"), instruments=[instrument("AAA"), later]
    ) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.instruments[1] = instrument("BBB")
        world.load(at("2020-10-02"))
        assert unexplained(world) == 0
        assert list(world.closes("BBB")) == sessions(last=day("2020-10-02"))


def test_another_calendar_is_made_up_for_by_the_next_evening(tmp_path: Path) -> None:
    london = listing(
        "LLL", calendar="XLON", time_zone="Europe/London", opens=time(8), closes=time(16, 30)
    )
    there = instrument("LLL", calendar="XLON")
    with World(tmp_path, listing("BBB"), london, instruments=[instrument("BBB"), there]) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.instruments[0] = instrument("BBB", calendar="XLON")
        world.load(at("2020-10-02"))
        assert unexplained(world) == 0
        independence_day = world.reason("2020-07-03", "BBB")  # New York was closed, London was not
        assert independence_day is not None
        assert independence_day["reason"] == "provider_missing"


def test_an_outage_on_the_evening_of_the_edit_is_made_up_for_later(tmp_path: Path) -> None:
    later = instrument("BBB", first_session=day("2020-09-01"))
    with World(
        tmp_path, listing("AAA"), listing("BBB"), instruments=[instrument("AAA"), later]
    ) as world:
        world.load(at(OCTOBER), FIRST, OCTOBER)
        world.instruments[1] = instrument("BBB")
        world.server.fail("BBB", "server_error")
        world.load(at("2020-10-02"))
        assert unexplained(world) == 0
        world.server.recover()
        world.load(at("2020-10-05"))
        assert list(world.closes("BBB")) == sessions(last=day("2020-10-05"))


def test_what_is_settled_is_not_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evening reads the newest months; without its note it reads all, and learns nothing."""
    from stock_platform.sources.yahoo_held import LakeView

    read: list[date] = []
    rows = LakeView.rows

    def noting(view: LakeView, dataset: str, first: date, *rest: object) -> pl.DataFrame:
        read.append(first)
        return rows(view, dataset, first, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(LakeView, "rows", noting)
    late = day("2020-12-15")
    with World(tmp_path, listing("AAA")) as world:
        world.load(at(late), FIRST, late)
        read.clear()
        world.load(at("2020-12-16"))
        assert min(read) > FIRST
        note = tmp_path / "responses" / "yahoo" / "settled.json"
        for damage in ("", "[1]", None):
            before = world.objects()
            note.unlink() if damage is None else note.write_text(damage)
            read.clear()
            world.load(at("2020-12-16", "23:30"))
            assert min(read) == FIRST
            assert world.objects() == before
