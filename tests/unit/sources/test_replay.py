"""Guarantee G8: what was recorded of all loads makes the lake again, row by row, without a network.

Each story loads through a server; that is gone when the story is replayed.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from typer.testing import CliRunner

from stock_platform import calendars, universe
from stock_platform.cli import replay as replay_command
from stock_platform.errors import PlatformError
from stock_platform.lake import Lake
from stock_platform.lake.schema import DATASETS
from stock_platform.lake.store import LocalStore
from stock_platform.settings import Settings
from stock_platform.sources import cbr_plan
from stock_platform.sources.cbr import CbrSource, known_in
from stock_platform.sources.cbr_client import CbrClient
from stock_platform.sources.fetching import Gate
from stock_platform.sources.packed import packed_keys, read_packed
from stock_platform.sources.responses import Journal
from stock_platform.sources.yahoo import YahooSource
from stock_platform.sources.yahoo_held import LakeView
from tests.support.cbr_server import Bank, CbrServer, Reply, status
from tests.support.lake import Workshop, settings_in
from tests.support.yahoo_market import Cash, Listing, Split
from tests.support.yahoo_world import FIRST, World, at, day, listing, sessions

FRIDAY, MONDAY, TUESDAY = day("2020-08-28"), day("2020-08-31"), day("2020-09-01")
WEDNESDAY, THURSDAY = day("2020-09-02"), day("2020-09-03")
SPLIT_AT = sessions().index(MONDAY)

Replay = Callable[..., dict[str, Any]]


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replay:
    """The command with `--json`; what it printed, with `error` where it failed."""
    app = typer.Typer()
    replay_command.register(app)
    app.command()(lambda: None)

    def call(settings: Settings, *arguments: str) -> dict[str, Any]:
        monkeypatch.setattr("stock_platform.settings.load_settings", lambda: settings)
        result = CliRunner().invoke(app, ["replay", "--json", *arguments])
        if result.exception and not isinstance(result.exception, PlatformError):
            raise result.exception
        if not result.stdout:
            raise result.exception or AssertionError("nothing was printed")
        answer: dict[str, Any] = json.loads(result.stdout)
        assert answer["same"] is (result.exception is None)
        return answer

    return call


def count(answer: dict[str, Any], what: str) -> int:
    return sum(one[what] for s in answer["sources"] for one in s["datasets"].values())


def all_rows(lake: Lake, source: str) -> int:
    return sum(lake.read(name, source=source).height for name in DATASETS)


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, dataset: str) -> Iterator[None]:
    """Loads end when half of the objects of a dataset are written."""
    write = LocalStore.put_new

    def half(store: LocalStore, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        if f"/{dataset}/" not in objects[0][0]:
            return write(store, objects)
        write(store, objects[: len(objects) // 2])
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "put_new", half)
        with pytest.raises(RuntimeError, match="killed"):
            yield


def packed_file(lake: Lake, source: str, number: int) -> Path:
    return Path(lake.root, packed_keys(lake.store, source)[number])


@pytest.fixture
def to_auckland() -> Iterator[Callable[[], None]]:
    """Moves this computer to another time zone when called."""
    before = os.environ.get("TZ")

    def move() -> None:
        os.environ["TZ"] = "Pacific/Auckland"
        time.tzset()

    yield move
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


# --- Yahoo ---------------------------------------------------------------------------------------


def entry(symbol: str, **more: Any) -> dict[str, Any]:
    return {
        "instrument_id": f"X:{symbol}",
        "symbol": symbol,
        "name": symbol,
        "calendar": "XNYS",
        "currency": "USD",
        "first_session": FIRST,
        "symbols": {"yahoo": symbol},
    } | more


def market() -> list[Listing]:
    """AAA splits 4:1 on Monday, BBB pays."""
    return [
        listing(
            "AAA",
            price=lambda n: (400 + n % 7) / (4 if n >= SPLIT_AT else 1),
            splits=[Split(MONDAY, 4)],
        ),
        listing("BBB", cash=[Cash(day("2020-08-06"), 0.5)]),
        listing("CCC"),
    ]


class Recorded(World):
    """A world whose universe is recorded as it is written."""

    def __init__(self, home: Path, entries: Sequence[dict[str, Any]], *listings: Listing) -> None:
        text = yaml.safe_dump({"instruments": list(entries)})
        path = home / "universe.yaml"
        path.write_text(text)
        super().__init__(home, *listings, instruments=universe.for_source(path, "yahoo"))
        self.universe = text

    def killed(self, moment: datetime, first: date, monkeypatch: pytest.MonkeyPatch) -> None:
        """A load that ends when half of its bars are written."""
        with dying(monkeypatch, "equity_prices"):
            self.load(moment, first)


ALL = [entry("AAA"), entry("BBB"), entry("CCC")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded(tmp_path, ALL, *market())
    with made:
        yield made


def put(one: Listing, session: date, share: float) -> None:
    """Restate a bar."""
    here = pl.col("session") == session
    columns = ("open", "high", "low", "close")
    one.bars = one.bars.with_columns(
        *[pl.when(here).then(pl.col(name) * share).otherwise(name).alias(name) for name in columns]
    )


def story(world: Recorded) -> None:
    """Seven loads: a split between two, an outage, a revision, a session that comes late."""
    world.load(at(FRIDAY), FIRST)
    world.load(at(MONDAY))
    world.server.fail("BBB", "server_error")
    world.load(at(TUESDAY))
    world.server.recover()
    aaa = world.server.listings["AAA"]
    put(aaa, day("2020-08-26"), 1.01)
    aaa.missing = {TUESDAY}
    world.refetch = 20
    world.load(at(WEDNESDAY))
    aaa.missing = set()
    world.refetch = 3
    world.load(at(THURSDAY))
    world.load(at(THURSDAY, "23:30"))
    world.load(at(THURSDAY, "23:45"), FIRST)


def test_every_version_of_every_row_comes_back(
    tmp_path: Path, replay: Replay, to_auckland: Callable[[], None]
) -> None:
    world = Recorded(tmp_path, ALL, *market())
    with world:
        story(world)
    to_auckland()
    before = world.objects()
    answer = replay(world.settings, "--source", "yahoo")
    (yahoo,) = answer["sources"]
    assert (yahoo["source"], yahoo["loads"]) == ("yahoo", 7)
    assert yahoo["requests"] == 3 * 7
    assert count(answer, "equal") == all_rows(world.lake, "yahoo")
    assert world.lake.read("equity_prices").height > len(world.closes()) * 3, "there are versions"
    assert world.lake.as_of("coverage").filter(field="response").height, "there was an outage"
    assert world.objects() == before, "the present lake is read only"


def test_the_number_of_sessions_asked_again_is_that_of_the_load(
    world: Recorded, replay: Replay
) -> None:
    """A restated bar that only a wide window asks about, under another setting by now."""
    world.load(at(FRIDAY), FIRST)
    world.refetch = 30
    put(world.server.listings["CCC"], sessions(last=MONDAY)[-25], 1.02)
    world.load(at(MONDAY))
    settings = world.settings.model_copy(update={"refetch_sessions": 1})
    assert count(replay(settings), "equal") == all_rows(world.lake, "yahoo")


def test_reasons_told_without_a_question_are_recorded_too(tmp_path: Path, replay: Replay) -> None:
    end, new = day("2020-07-31"), day("2020-08-03")
    old = entry(
        "OLD", last_session=end, symbols={"yahoo": [{"symbol": "BBB", "last_session": end}]}
    )
    now = entry(
        "BBB", first_session=new, symbols={"yahoo": [{"symbol": "BBB", "first_session": new}]}
    )
    with Recorded(tmp_path, [old, now], *market()) as world:
        world.load(at(FRIDAY), FIRST, end)
        assert world.requests() == 0
        assert world.coverage("OLD").height
    answer = replay(world.settings)
    assert answer["same"]
    assert count(answer, "equal") == world.coverage("OLD").height


def test_only_what_was_known_by_a_moment(world: Recorded, replay: Replay) -> None:
    for n, moment in enumerate((at(FRIDAY), at(MONDAY), at(TUESDAY))):
        world.load(moment, moment.date() if n else FIRST)
    answer = replay(world.settings, "--until", at(MONDAY).isoformat())
    assert answer["sources"][0]["loads"] == 2
    assert answer["sources"][0]["last_known_at"] == at(MONDAY).isoformat()
    assert answer["same"]
    assert 0 < count(answer, "equal") < all_rows(world.lake, "yahoo")


# --- loads that were killed ----------------------------------------------------------------------


def test_a_killed_load_that_was_resumed_is_known_earlier(
    world: Recorded, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.killed(at(FRIDAY), FIRST, monkeypatch)
    asked = world.requests()
    world.load(at(FRIDAY, "23:30"), FIRST)
    assert world.requests() == asked, "it resumes from the journal"
    world.load(at(MONDAY))
    moments = set(world.lake.read("equity_prices")["known_at"])
    assert moments == {at(FRIDAY), at(FRIDAY, "23:30"), at(MONDAY)}, "it was killed half-way"
    answer = replay(world.settings)
    assert answer["same"]
    assert answer["sources"][0]["interrupted_loads"] == [at(FRIDAY).isoformat()]
    assert count(answer, "known_earlier") > 50
    assert count(answer, "interrupted") == 0
    assert count(answer, "equal") + count(answer, "known_earlier") == all_rows(world.lake, "yahoo")
    earlier = answer["sources"][0]["datasets"]["equity_prices"]["examples"]["known_earlier"]
    assert earlier["known_at"] == at(FRIDAY, "23:30").isoformat()


def test_a_killed_load_whose_answers_were_too_old_to_resume_from(
    world: Recorded, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next loads ask anew, and for less than the replay, which knows all that was told."""
    world.killed(at(FRIDAY), FIRST, monkeypatch)
    world.journal.forget()
    world.load(at(MONDAY))
    world.load(at(TUESDAY), FIRST)
    answer = replay(world.settings)
    assert answer["same"]
    assert count(answer, "known_earlier") > 50
    assert count(answer, "interrupted") > 0, "Friday's provisional bar was overtaken"


@pytest.mark.slow
def test_what_a_killed_load_was_told_and_no_later_load_asked_for_is_lost(
    world: Recorded, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.killed(at(FRIDAY), FIRST, monkeypatch)
    world.journal.forget()
    world.load(at(MONDAY))
    answer = replay(world.settings)
    assert not answer["same"]
    prices = answer["sources"][0]["datasets"]["equity_prices"]
    assert prices["lost"] > 50
    assert prices["examples"]["lost"]["session"] == FIRST.isoformat()
    assert prices["only_in_lake"] == prices["only_in_replay"] == 0
    world.load(at(TUESDAY), FIRST)
    assert replay(world.settings)["same"]


@pytest.mark.slow
def test_a_killed_load_that_nobody_resumed(
    world: Recorded, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load(at(FRIDAY), FIRST)
    world.killed(at(MONDAY), MONDAY, monkeypatch)
    answer = replay(world.settings)
    assert answer["same"]
    assert count(answer, "interrupted") > 0
    # Its journal alone knows: without it, the rows it never wrote are missing.
    world.journal.clear()
    answer = replay(world.settings)
    assert count(answer, "only_in_replay") > 0


@pytest.mark.slow
def test_another_value_of_a_killed_load_is_a_difference(
    world: Recorded, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.killed(at(FRIDAY), FIRST, monkeypatch)
    world.load(at(FRIDAY, "23:30"), FIRST)
    for number in (0, 1):
        tamper(packed_file(world.lake, "yahoo", number))
    prices = replay(world.settings)["sources"][0]["datasets"]["equity_prices"]
    # What the killed load had written of AAA and BBB has another digest now, and two bars that
    # the later one wrote have another value.
    written = 2 * (len(sessions(last=FRIDAY)) // 2)
    assert (prices["only_in_lake"], prices["only_in_replay"]) == (written + 2, written)


# --- what is wrong is found ----------------------------------------------------------------------


def tamper(path: Path, place: int = -3) -> None:
    """Change one bar of the first two answers, in the file as it lies."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows[:2]:
        said = json.loads(row["body"])
        quote = said["chart"]["result"][0]["indicators"]["quote"][0]
        for name in ("open", "high", "low", "close"):
            quote[name][place] *= 1.001
        row["body"] = json.dumps(said).encode()
    rewrite(path, pa.Table.from_pylist(rows, schema=table.schema))


def rewrite(path: Path, table: pa.Table) -> None:
    with pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True) as to:
        for n in range(table.num_rows):
            to.write_table(table.slice(n, 1))


def test_a_changed_answer_is_found(world: Recorded, replay: Replay) -> None:
    world.load(at(FRIDAY), FIRST)
    world.load(at(MONDAY))
    tamper(packed_file(world.lake, "yahoo", 0))
    answer = replay(world.settings)
    prices = answer["sources"][0]["datasets"]["equity_prices"]
    assert not prices["same"]
    ours, theirs = prices["examples"]["only_in_lake"], prices["examples"]["only_in_replay"]
    assert (ours["instrument_id"], ours["session"]) == (theirs["instrument_id"], theirs["session"])


def test_a_damaged_answer_is_named(world: Recorded, replay: Replay) -> None:
    world.load(at(FRIDAY), FIRST)
    path = packed_file(world.lake, "yahoo", 0)
    column = pq.ParquetFile(path).metadata.row_group(1).column(6)
    assert column.path_in_schema == "body"
    whole = path.read_bytes()
    for place in (0.3, 0.9):
        data = bytearray(whole)
        data[column.data_page_offset + int(column.total_compressed_size * place)] ^= 1
        path.write_bytes(data)
        with pytest.raises(PlatformError, match=rf"{path.name} can't be read.*restore it"):
            replay(world.settings)
    path.write_bytes(whole[:1000])
    with pytest.raises(PlatformError, match=rf"{path.name} can't be read.*restore it"):
        replay(world.settings)


def test_a_load_outside_the_record_is_found(world: Recorded, replay: Replay) -> None:
    world.load(at(FRIDAY), FIRST)
    made = world.source()
    bare = YahooSource(
        world.instruments,
        lambda _: made._connect(False),
        known=LakeView("yahoo", lambda: world.lake),
    )
    world.source = lambda: bare  # type: ignore[method-assign]
    world.load(at(MONDAY))
    prices = replay(world.settings)["sources"][0]["datasets"]["equity_prices"]
    assert (prices["only_in_replay"], prices["unrecorded"]) == (0, prices["only_in_lake"])
    assert prices["examples"]["only_in_lake"]["known_at"] == at(MONDAY).isoformat()


def test_a_lost_record_is_found(world: Recorded, replay: Replay) -> None:
    """The loads after it are replayed as far as their own answers reach."""
    world.load(at(FRIDAY), FIRST)
    world.load(at(MONDAY))
    world.load(at(TUESDAY), FIRST)
    packed_file(world.lake, "yahoo", 0).unlink()
    answer = replay(world.settings)
    assert count(answer, "unrecorded") > 100
    prices = answer["sources"][0]["datasets"]["equity_prices"]
    assert prices["equal"] > 0


def test_a_universe_that_can_not_be_read_is_named(world: Recorded, replay: Replay) -> None:
    world.universe = "instruments: 7"
    world.load(at(FRIDAY), FRIDAY)
    with pytest.raises(PlatformError, match=r"universe recorded in .*\.parquet can't be read"):
        replay(world.settings)


def test_nothing_recorded(tmp_path: Path, replay: Replay) -> None:
    settings = settings_in(tmp_path / "home")
    with pytest.raises(PlatformError, match=r"has no recorded responses of cbr or yahoo.*make run"):
        replay(settings)
    with pytest.raises(PlatformError, match=r"of yahoo up to 2020-01-01.*STOCK_PLATFORM_HOME"):
        replay(settings, "--source", "yahoo", "--until", "2020-01-01")
    with pytest.raises(PlatformError, match="'sample': replay cbr, yahoo or all"):
        replay(settings, "--source", "sample")
    with pytest.raises(PlatformError, match="'soon' is no moment"):
        replay(settings, "--until", "soon")


# --- the rebuilt lake ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_rebuilt_lake_can_be_used_and_replayed(
    world: Recorded, replay: Replay, tmp_path: Path
) -> None:
    world.load(at(FRIDAY), FIRST)
    world.load(at(MONDAY))
    into = tmp_path / "new" / "home"
    assert replay(world.settings, "--into", str(into))["into"] == str(into)
    rebuilt = settings_in(into)
    for name in DATASETS:
        assert Lake.open(rebuilt).read(name).equals(world.lake.read(name))
    assert replay(rebuilt)["same"]
    with pytest.raises(PlatformError, match=f"{into} is not empty"):
        replay(world.settings, "--into", str(into))
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="can't be a directory"):
        replay(world.settings, "--into", str(tmp_path / "file"))


def test_nothing_is_left_behind_without_a_directory(
    world: Recorded, replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.load(at(FRIDAY), FIRST)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    replay(world.settings)
    assert not [path for path in scratch.iterdir() if "replay" in path.name]


# --- the Central Bank of Russia ------------------------------------------------------------------

NOW = datetime(2025, 4, 16, 9, tzinfo=UTC)  # a Wednesday
START = date(2025, 2, 1)
DAYS = calendars.sessions("CBR", START - timedelta(days=30), NOW.date() + timedelta(days=10))
QUOTED = {"XAU": "1", "XAG": "2", "USD": "R01235", "VND": "R01150", "IRR": "R01300"}


class BankLoads(Workshop):
    """Loads of the bank's, recorded."""

    def __init__(self, home: Path, server: CbrServer) -> None:
        super().__init__(home)
        self.server = server
        entries = [
            entry(symbol, instrument_id=f"CBR:{symbol}", calendar="CBR", currency="RUB")
            | {
                "asset_class": "metal" if code.isdigit() else "fx",
                "first_session": START,
                "symbols": {"cbr": code},
            }
            for symbol, code in QUOTED.items()
        ]
        self.text = yaml.safe_dump({"instruments": entries})
        self.path = home.with_suffix(".yaml")
        self.path.write_text(self.text)
        self.journal = Journal(home / "responses" / "cbr")
        self.publish: Callable[[Bank], None] = lambda _: None
        """What a test publishes otherwise."""

    def run(self, moment: datetime, first: date | None = None, refetch: int = 10) -> None:
        gate = Gate("the bank", per_minute=600_000, sleep=lambda _: None)
        published = [one for one in DAYS if one <= moment.date()]
        self.server.bank = Bank.of(published)
        self.publish(self.server.bank)
        source = CbrSource(
            universe.for_source(self.path, "cbr"),
            CbrClient(self.server.url, gate, journal=self.journal, timeout=(2, 0.5)),
            refetch_sessions=refetch,
            known=known_in(self.lake),
            journal=self.journal,
            store=self.lake.store,
            universe_text=self.text,
        )
        last = moment.date()
        self.load(source=source, at=moment, first=first or last, last=last)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[BankLoads]:
    with CbrServer(Bank.of(DAYS)) as server:
        yield BankLoads(tmp_path / "home", server)


def bank_story(bank: BankLoads) -> None:
    """An outage, a refused value, a revision, a late day; by range and by day."""
    revised = DAYS[DAYS.index(NOW.date()) - 3]
    bank.server.fail("R01150", status(500))
    bank.server.fail("metall", lambda _: Reply(b"<Metall", 200), times=20)
    bank.run(NOW, START)
    bank.server.heal()

    def otherwise(published: Bank) -> None:
        price = published.metals[revised]["1"][0]
        published.metals[revised]["1"] = ("10000,00", price)
        published.metals[revised]["2"] = ("-1,00", "2,00")
        published.rates.pop(NOW.date() + timedelta(days=1), None)

    bank.publish = otherwise
    bank.run(NOW + timedelta(days=1), START)
    bank.run(NOW + timedelta(days=2), refetch=2)
    bank.publish = lambda _: None
    bank.run(NOW + timedelta(days=3), refetch=12)
    bank.run(NOW + timedelta(days=3, hours=1))


@pytest.mark.slow
def test_the_banks_lake_comes_back(
    tmp_path: Path, replay: Replay, to_auckland: Callable[[], None]
) -> None:
    with CbrServer(Bank.of(DAYS)) as server:
        bank = BankLoads(tmp_path / "home", server)
        bank_story(bank)
        endpoints = " ".join(server.requests)
    assert all(name in endpoints for name in (cbr_plan.METALL, cbr_plan.DYNAMIC, cbr_plan.DAILY))
    to_auckland()
    answer = replay(bank.settings, "--source", "cbr")
    assert answer["sources"][0]["loads"] == 5
    assert count(answer, "equal") == all_rows(bank.lake, "cbr")
    reasons = bank.lake.read("coverage")["reason"].unique().to_list()
    assert {"rejected", "provider_missing"} <= set(reasons)
    assert bank.lake.read("metal_prices").height > bank.lake.as_of("metal_prices").height


def test_a_changed_answer_of_the_banks_is_found(bank: BankLoads, replay: Replay) -> None:
    bank.run(NOW, START)
    path = packed_file(bank.lake, "cbr", 0)
    table = pq.read_table(path)
    rows = table.to_pylist()
    assert b"<Buy>1" in rows[0]["body"]
    rows[0]["body"] = rows[0]["body"].replace(b"<Buy>1", b"<Buy>2", 1)
    rewrite(path, pa.Table.from_pylist(rows, schema=table.schema))
    answer = replay(bank.settings)
    assert not answer["sources"][0]["datasets"]["metal_prices"]["same"]
    assert answer["sources"][0]["datasets"]["fx_rates"]["same"]


def test_a_lost_record_of_the_banks_is_found(bank: BankLoads, replay: Replay) -> None:
    """The second load asked for the newest days alone, for the lake held the rest."""
    bank.run(NOW, START)
    bank.run(NOW + timedelta(days=1), START)
    packed_file(bank.lake, "cbr", 0).unlink()
    answer = replay(bank.settings)
    assert count(answer, "unrecorded") > 0
    assert count(answer, "equal") > 0


@pytest.mark.slow
def test_a_killed_load_of_the_banks(
    bank: BankLoads, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dying(monkeypatch, "fx_rates"):
        bank.run(NOW, START)
    bank.run(NOW + timedelta(days=1), START)
    bank.run(NOW + timedelta(days=2))
    answer = replay(bank.settings)
    assert answer["same"]
    assert count(answer, "known_earlier") > 50


def test_all_sources_of_one_lake(tmp_path: Path, replay: Replay) -> None:
    with Recorded(tmp_path, ALL, *market()) as world, CbrServer(Bank.of(DAYS)) as server:
        world.load(at(FRIDAY), FIRST)
        bank = BankLoads(tmp_path, server)
        bank.run(NOW, START)
    answer = replay(world.settings)
    assert [one["source"] for one in answer["sources"]] == ["cbr", "yahoo"]
    assert count(answer, "equal") == all_rows(bank.lake, "cbr") + all_rows(bank.lake, "yahoo")


def test_recorded_requests_are_read_back(tmp_path: Path) -> None:
    with CbrServer(Bank.of(DAYS)) as server:
        bank = BankLoads(tmp_path / "home", server)
        instruments = universe.for_source(bank.path, "cbr")
        for first in (START, NOW.date()):
            wanted = cbr_plan.wanted(instruments, first, NOW.date(), NOW)
            asks = cbr_plan.asks(wanted, NOW.date())
            assert cbr_plan.recorded([ask.request for ask in asks], instruments) == asks


def test_what_a_load_was_told_is_read_one_answer_at_a_time(world: Recorded) -> None:
    world.load(at(FRIDAY), FIRST)
    (key,) = packed_keys(world.lake.store, "yahoo")
    packed = read_packed(world.lake.store, key)
    assert (packed.refetch, packed.interrupted) == (10, ())
    assert packed.reach == {"AAA": FIRST, "BBB": FIRST, "CCC": FIRST}
    (answer,) = packed.of("BBB")
    assert json.loads(answer.body)["chart"]["result"][0]["meta"]["symbol"] == "BBB"
    assert packed.of("ZZZ") == []
