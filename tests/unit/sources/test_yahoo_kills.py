"""Guarantee G2: a load killed anywhere and made again leaves the lake of a load left alone."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake import Lake
from stock_platform.lake.catalog import Catalog, NewObject
from stock_platform.lake.schema import DATASETS, Dataset
from stock_platform.lake.sink import Sink
from stock_platform.lake.store import LocalStore
from tests.support.yahoo_market import Cash, Split
from tests.support.yahoo_world import FIRST, World, at, day, instrument, listing, sessions

NEXT, LATER = day("2020-10-01"), day("2020-10-02")
DELIVERED = ("corporate_actions", "coverage", "equity_prices")
MOMENTS = ("known_at", "available_at", "availability", "payload_digest")
"""What is allowed to differ: when it was learned."""


class KilledError(RuntimeError):
    """Stands in for a SIGKILL: nothing of ours catches it."""


def kill_between(patch: pytest.MonkeyPatch, dataset: str) -> None:
    """Die when a dataset's turn comes."""
    receive = Sink.receive

    def dying(sink: Sink, name: str, file: str) -> None:
        if name == dataset:
            raise KilledError
        receive(sink, name, file)

    patch.setattr(Sink, "receive", dying)


def kill_inside(patch: pytest.MonkeyPatch, dataset: str) -> None:
    """Die when half of a dataset's objects are written."""
    write = LocalStore.put_new

    def dying(store: LocalStore, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        if f"/{dataset}/" not in objects[0][0]:
            return write(store, objects)
        write(store, objects[: max(1, len(objects) // 2)])
        raise KilledError

    patch.setattr(LocalStore, "put_new", dying)


def kill_unregistered(patch: pytest.MonkeyPatch, dataset: str) -> None:
    """Die when all of a dataset is written and nothing of it registered."""
    register = Catalog.register

    def dying(catalog: Catalog, shape: Dataset, objects: Sequence[NewObject]) -> int:
        if shape.name == dataset and objects:
            raise KilledError
        return register(catalog, shape, objects)

    patch.setattr(Catalog, "register", dying)


def kill_at_the_end(patch: pytest.MonkeyPatch, dataset: str) -> None:
    """Die when a dataset is written and registered."""
    receive = Sink.receive

    def dying(sink: Sink, name: str, file: str) -> None:
        receive(sink, name, file)
        if name == dataset:
            raise KilledError

    patch.setattr(Sink, "receive", dying)


KILLS = (kill_between, kill_inside, kill_unregistered, kill_at_the_end)
QUICK = {
    (kill_between, "corporate_actions"),
    (kill_inside, "equity_prices"),
    (kill_unregistered, "coverage"),
}
"""One kill of each dataset; the others run with the slow tests."""
PLACES = [
    pytest.param(kill, dataset, marks=() if (kill, dataset) in QUICK else pytest.mark.slow)
    for kill in KILLS
    for dataset in DELIVERED
]


def world(home: Path) -> World:
    """AAA splits and pays, BBB lacks a session and has a bar of a holiday, GONE was delisted."""
    home.mkdir(parents=True)
    aaa = listing(
        "AAA",
        price=lambda n: (400 + n % 7) / (4 if n >= 42 else 1),
        splits=[Split(sessions()[42], 4)],
        cash=[Cash(day("2020-08-07"), 0.5), Cash(day("2020-09-10"), 0.1)],
    )
    bbb = listing("BBB", cash=[Cash(day("2020-07-16"), 1.25)])
    bbb.missing = {day("2020-07-22")}
    stamp = int(at("2020-09-07", "09:30", "America/New_York").timestamp())
    bbb.extra = [(stamp, 100.0, 101.0, 99.0, 100.0, 5.0)]
    gone = instrument("GONE", last_session=day("2020-08-14"))
    return World(
        home, aaa, bbb, listing("GONE"), instruments=[instrument("AAA"), instrument("BBB"), gone]
    )


def contents(lake: Lake) -> dict[str, pl.DataFrame]:
    """What is known now, but for the moments."""
    return {name: lake.as_of(name).drop(MOMENTS) for name in DATASETS}


def die(one: World, patch: pytest.MonkeyPatch, moment: datetime, *between: date) -> None:
    with pytest.raises((KilledError, PlatformError)):
        one.load(moment, *between)
    patch.undo()
    one.lake = Lake.open(one.settings)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("calm") / "home") as made:
        made.load(at(NEXT), FIRST, NEXT)
        made.load(at(NEXT, "23:30"), FIRST, NEXT)
        yield made


@pytest.mark.parametrize(("kill", "dataset"), PLACES)
def test_a_first_load_killed_anywhere_ends_as_if_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: World, kill, dataset: str
) -> None:
    with world(tmp_path / "home") as made:
        kill(monkeypatch, dataset)
        die(made, monkeypatch, at(NEXT), FIRST, NEXT)
        made.load(at(NEXT, "23:30"), FIRST, NEXT)
        wanted = contents(undisturbed.lake)
        for name, rows in contents(made.lake).items():
            assert rows.equals(wanted[name]), name
        assert made.actions() == undisturbed.actions()
        assert len(made.actions()) == 3
        before = made.objects()
        made.load(at(NEXT, "23:45"), FIRST, NEXT)
        assert made.objects() == before


@pytest.mark.parametrize(("kill", "dataset"), PLACES)
def test_a_new_instruments_history_killed_anywhere_comes_with_the_next_evening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill, dataset: str
) -> None:
    """The load is one day's, so the day after does not name what the killed one left out."""
    lakes = []
    for place in ("calm", "killed"):
        with world(tmp_path / place) as made:
            everybody = made.instruments
            made.instruments = everybody[1:2]
            made.load(at("2020-09-30"), FIRST, day("2020-09-30"))
            made.instruments = everybody
            if place == "killed":
                kill(monkeypatch, dataset)
                die(made, monkeypatch, at(NEXT))
                made.journal.forget()  # a day has passed
            else:
                made.load(at(NEXT))
            made.load(at(LATER))
            found = contents(made.lake)
            # That a bar was not due when the killed load ran is of no use to anybody the day after.
            early = pl.col("reason") == "not_yet_final"
            stale = early & (pl.col("session") < LATER)
            lakes.append(found | {"coverage": found["coverage"].filter(~stale)})
            assert len(made.actions()) == 3
            assert len(made.closes("GONE")) == len(sessions(last=day("2020-08-14")))
    for name, rows in lakes[0].items():
        assert rows.equals(lakes[1][name]), name
