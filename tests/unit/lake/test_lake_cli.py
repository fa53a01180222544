import json

import pytest
import typer
from typer.testing import CliRunner

from stock_platform.cli import lake as lake_command
from stock_platform.errors import PlatformError
from tests.support.lake import T0, Workshop, bar, hour


@pytest.fixture
def run(workshop: Workshop, monkeypatch):
    monkeypatch.setattr("stock_platform.settings.load_settings", lambda: workshop.settings)
    app = typer.Typer()
    lake_command.register(app)
    app.command()(lambda: None)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["lake", *arguments], catch_exceptions=False)
        if result.exception:
            raise result.exception
        return result.stdout

    return call


@pytest.fixture
def loaded(workshop: Workshop) -> Workshop:
    workshop.load(bar("AAA", close=10))
    workshop.load(bar("AAA", close=11), at=hour(1))
    return workshop


QUERY = "SELECT symbol, close FROM equity_prices ORDER BY close"


def test_tsv_is_values_only(run, loaded):
    assert run(QUERY, "--format", "tsv") == "AAA\t10.0\nAAA\t11.0\n"
    assert run("SELECT NULL, 'a\tb', true", "--format", "tsv") == "\\N\ta\\tb\ttrue\n"
    assert run("SELECT 1 WHERE false", "--format", "tsv") == ""


def test_json_and_table(run, loaded):
    answer = json.loads(
        run("SELECT symbol, session FROM equity_prices LIMIT 1", "--format", "json")
    )
    assert answer == [{"symbol": "AAA", "session": "2024-03-04"}]
    lines = run(QUERY).splitlines()
    assert lines[0].split() == ["symbol", "close"]
    assert lines[-1] == "(2 rows)"


def test_as_of(run, loaded):
    assert run(QUERY, "--format", "tsv", "--as-of", T0.isoformat()) == "AAA\t10.0\n"
    assert run(QUERY, "--format", "tsv", "--as-of", "2030-01-01") == "AAA\t11.0\n"
    assert run(QUERY, "--format", "tsv", "--as-of", "2020-01-01") == ""


def test_an_empty_lake_answers(run):
    assert run("SELECT count(*) FROM coverage", "--format", "tsv") == "0\n"


def test_errors_name_the_thing(run, loaded):
    with pytest.raises(PlatformError, match="tables: equity_prices"):
        run("SELECT * FROM prices")
    with pytest.raises(PlatformError, match="'yesterday' is no moment"):
        run(QUERY, "--as-of", "yesterday")
