"""Guarantee G8: whatever the provider said and in whichever order it was asked, the lake answers
every "as of" as somebody would who had written down each answer by hand."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.yahoo_market import Split
from tests.support.yahoo_world import World, at, listing, sessions

DAYS = sessions()[:34]
START, DUE = DAYS[0], "20:30"
"""By 20:30 UTC of the next session's day the bar of a session is 24 hours past its close."""


@dataclass
class Diary:
    """What was said of each bar and when, in the simplest way there is."""

    said: dict[date, list[tuple[datetime, float, bool]]] = field(default_factory=dict)

    def note(self, moment: datetime, session: date, close: float, final: bool) -> None:
        entries = self.said.setdefault(session, [])
        if entries:
            _, before, was_final = entries[-1]
            if was_final and not final:
                return
            if abs(close - before) <= 1e-5 * max(close, before) and was_final == final:
                return
        entries.append((moment, close, final))

    def as_of(self, moment: datetime) -> dict[date, tuple[float, bool]]:
        found = {}
        for session, entries in self.said.items():
            known = [(close, final) for when, close, final in entries if when <= moment]
            if known:
                found[session] = known[-1]
        return found


steps = st.lists(
    st.one_of(
        st.tuples(st.just("days"), st.integers(1, 4)),
        st.tuples(st.just("again"), st.just(0)),
        st.tuples(st.just("revise"), st.integers(1, 8)),
        st.tuples(st.just("hide"), st.integers(0, 3)),
        st.tuples(st.just("outage"), st.just(0)),
        st.tuples(st.just("all"), st.just(0)),
    ),
    min_size=3,
    max_size=9,
)
splits = st.lists(
    st.tuples(st.integers(5, 30), st.sampled_from([2.0, 3.0, 0.25]), st.integers(0, 2)),
    max_size=2,
    unique_by=lambda one: one[0],
)


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a failure takes minutes to shrink
    suppress_health_check=[HealthCheck.too_slow],
)
@given(script=steps, cuts=splits)
def test_any_history_of_loads_is_remembered_as_it_was(
    script: list[tuple[str, int]],
    cuts: list[tuple[int, float, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    play(script, cuts, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    ("script", "cuts"),
    [
        (
            [("days", 4), ("days", 3), ("revise", 2), ("again", 0), ("days", 1), ("all", 0)],
            [(6, 4.0, 0)],
        ),
        (
            [("days", 4), ("hide", 1), ("days", 2), ("outage", 0), ("days", 2), ("again", 0)],
            [(7, 2.0, 2), (9, 0.25, 1)],
        ),
    ],
)
def test_two_histories_in_short(
    script: list[tuple[str, int]],
    cuts: list[tuple[int, float, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    play(script, cuts, tmp_path_factory.mktemp("home"))


def play(script: list[tuple[str, int]], cuts: list[tuple[int, float, int]], home: Path) -> None:
    """Load as the script says, and compare after each step with the diary."""
    traded: dict[date, float] = {}
    for n, day in enumerate(DAYS):
        ratios = [ratio for place, ratio, _ in cuts if place <= n]
        value = 800.0 + 3 * n
        for ratio in ratios:
            value /= ratio
        traded[day] = value
    made = [
        Split(DAYS[place], ratio, applied_on=DAYS[min(place + late, len(DAYS) - 1)])
        for place, ratio, late in cuts
    ]
    diary = Diary()
    moments: list[datetime] = []
    market = listing("AAA", days=DAYS, price=lambda n: traded[DAYS[n]], splits=made)
    with World(home, market) as world:
        world.refetch = 6
        now = 4
        clock = at(DAYS[now], DUE)
        load = loader(world, diary, traded, moments)
        load(clock, START)
        for action, amount in script:
            clock = clock.replace(minute=clock.minute + 1)
            today = DAYS[now]
            if action == "days":
                now = min(now + amount, len(DAYS) - 1)
                if DAYS[now] != today:
                    clock = at(DAYS[now], DUE)
                load(clock, DAYS[now])
            elif action == "again":
                load(clock, today)
            elif action == "all":
                load(clock, START)
            elif action == "revise":
                changed = DAYS[max(0, now - amount)]
                traded[changed] *= 1.01
                put(world, changed, traded[changed])
                load(clock, today)
            elif action == "hide":
                hidden = DAYS[max(0, now - amount)]
                world.server.listings["AAA"].missing ^= {hidden}
                load(clock, today)
            elif action == "outage":
                world.server.fail("AAA", "server_error")
                load(clock, today)
                world.server.recover()
        load(clock.replace(second=15), START)
        for moment in moments:
            rows = world.bars(moment=moment)
            got = {
                session: (close, final == "final")
                for session, close, final in rows.select("session", "close", "finality").iter_rows()
            }
            wanted = diary.as_of(moment)
            assert {s: f for s, (_, f) in got.items()} == {s: f for s, (_, f) in wanted.items()}
            assert {s: c for s, (c, _) in got.items()} == pytest.approx(
                {s: c for s, (c, _) in wanted.items()}, rel=1e-5
            )
        before = world.objects()
        assert world.load_without_dlt(clock.replace(second=30), START) == 0
        assert world.objects() == before


def put(world: World, session: date, close: float) -> None:
    market = world.server.listings["AAA"]
    here = pl.col("session") == session
    market.bars = market.bars.with_columns(
        *[
            pl.when(here).then(close * room).otherwise(pl.col(name)).alias(name)
            for name, room in (("open", 1.0), ("high", 1.01), ("low", 0.99), ("close", 1.0))
        ]
    )


def loader(
    world: World, diary: Diary, traded: dict[date, float], moments: list[datetime]
) -> Callable[[datetime, date], None]:
    """A load, written into the diary too: every bar the provider showed of the days asked for."""

    def load(moment: datetime, first: date) -> None:
        asked = len(world.server.seen)
        world.load_without_dlt(moment, first)
        moments.append(moment)
        market = world.server.listings["AAA"]
        charts = [one for one in world.server.seen[asked:] if one.symbol == "AAA"]
        if not charts or "AAA" in world.server._faults:
            return
        since = datetime.fromtimestamp(int(charts[-1].query["period1"]), tz=moment.tzinfo)
        for n, day in enumerate(DAYS):
            # The question begins a day early, for the sake of time zones.
            if since.date() < day <= moment.date() and day not in market.missing:
                final = n + 1 < len(DAYS) and at(DAYS[n + 1], DUE) <= moment
                diary.note(moment, day, traded[day], final)

    return load
