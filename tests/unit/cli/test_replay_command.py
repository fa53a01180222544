"""What `stock-platform replay` prints, and that it asks nobody."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stock_platform.cli import app
from stock_platform.errors import PlatformError
from tests.support.yahoo_market import Split
from tests.support.yahoo_world import FIRST, World, at, day, listing

FRIDAY, MONDAY = day("2020-08-28"), day("2020-08-31")
UNIVERSE = """
instruments:
  - {instrument_id: "X:AAA", symbol: AAA, name: AAA, calendar: XNYS, currency: USD,
     first_session: 2020-07-01, symbols: {yahoo: AAA}}
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two loads of AAA with a split between them; the server is gone."""
    with World(tmp_path, listing("AAA", splits=[Split(MONDAY, 2)])) as made:
        made.universe = UNIVERSE
        made.load(at(FRIDAY), FIRST)
        made.load(at(MONDAY))
    monkeypatch.setattr("stock_platform.settings.load_settings", lambda: made.settings)
    return made


def refused(*_: object) -> None:
    raise AssertionError("the network is asked")


def test_it_prints_what_compares_and_asks_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", refused)
    rows = world.lake.read("equity_prices").height
    result = CliRunner().invoke(app, ["replay"], catch_exceptions=False)
    assert result.exit_code == 0
    head, *rest = result.stdout.splitlines()
    assert head == (
        "yahoo: 2 loads (2020-08-28T23:00:00Z to 2020-08-31T23:00:00Z), 2 recorded requests"
    )
    assert f"  equity_prices: {rows} rows equal, 0 only in the lake, 0 only in the replay" in rest
    assert "loads 2/2" in result.stderr


def test_it_says_how_to_use_the_rebuilt_lake(world: World, tmp_path: Path) -> None:
    into = tmp_path / "the copy"
    result = CliRunner().invoke(app, ["replay", "--into", str(into)], catch_exceptions=False)
    assert f"STOCK_PLATFORM_HOME='{into}'" in result.stdout
    assert f"STOCK_PLATFORM_LAKE_URL='{into}/lake'" in result.stdout
    assert f"STOCK_PLATFORM_CATALOG_URI='sqlite:///{into}/catalog.db'" in result.stdout


def test_a_difference_is_shown_and_fails(world: World) -> None:
    first = min(Path(world.lake.root).rglob("responses/**/*.parquet"))
    first.unlink()
    result = CliRunner().invoke(app, ["replay"])
    assert isinstance(result.exception, PlatformError)
    assert "not what its recorded responses give" in str(result.exception)
    assert "only in lake: instrument_id X:AAA, symbol AAA, session 2020-07-01" in result.stdout
    assert "are of loads whose responses are not recorded" in result.stdout


def test_other_versions_are_named_with_a_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    min(Path(world.lake.root).rglob("responses/**/*.parquet")).unlink()
    monkeypatch.setattr("stock_platform.cli.replay.version", lambda _: "99")
    result = CliRunner().invoke(app, ["replay"])
    assert "read now with 99" in result.stdout
