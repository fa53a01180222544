import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from stock_platform.cli import lake as lake_command
from stock_platform.errors import PlatformError
from stock_platform.lake.schema import DATASETS
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
    early = ("--as-of", "2024-05-01")  # after the session, before it was fetched
    assert run(QUERY, "--format", "tsv", *early) == ""
    assert run(QUERY, "--format", "tsv", *early, "--clock", "available_at") == "AAA\t10.0\n"


def test_an_empty_lake_answers(run):
    assert run("SELECT count(*) FROM coverage", "--format", "tsv") == "0\n"


def test_errors_name_the_thing(run, loaded):
    with pytest.raises(PlatformError, match="tables: equity_prices"):
        run("SELECT * FROM prices")
    with pytest.raises(PlatformError, match="'yesterday' is no moment"):
        run(QUERY, "--as-of", "yesterday")


def test_help_names_every_table(run):
    printed = run("--help")
    assert all(name in printed for name in DATASETS)


READING = [
    "FROM equity_prices",
    "SHOW TABLES",
    "DESCRIBE equity_prices",
    "SUMMARIZE equity_prices",
    "PRAGMA table_info('equity_prices')",
    "EXPLAIN SELECT * FROM equity_prices",
    "/* why */ explain (FORMAT json) SELECT 1",
    "EXPLAIN ANALYZE SELECT count(*) FROM equity_prices",
    "PIVOT equity_prices ON symbol USING first(close) GROUP BY session",
    "WITH x AS (FROM equity_prices) SELECT symbol FROM x; SELECT 2",
]


@pytest.mark.parametrize("sql", READING)
def test_what_only_reads_is_answered(run, loaded, sql):
    assert run(sql)


WRITING = [
    "COPY (SELECT 1) TO '{file}'",
    "SELECT 1; COPY (SELECT 1) TO '{file}'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
    "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{file}'",
    "EXPLAIN/**/ANALYZE COPY (SELECT 1) TO '{file}'",
    "PREPARE p AS COPY (SELECT 1) TO '{file}'; EXECUTE p",
    "EXPORT DATABASE '{file}'",
    "ATTACH '{file}' AS other; CREATE TABLE other.t AS SELECT 1",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling; PRAGMA profiling_output = '{file}'; SELECT 1",
    "CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW equity_prices",
]


@pytest.mark.parametrize("sql", WRITING)
@pytest.mark.parametrize("where", ["beside", "new object", "object"])
def test_nothing_is_written_anywhere(run, loaded, tmp_path, sql, where):
    root = Path(loaded.lake.root)
    objects = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    there = next((root / "raw").rglob("*.parquet"))
    file = {"beside": tmp_path / "x", "new object": there.with_name("x"), "object": there}[where]
    with pytest.raises(PlatformError, match="only reads"):
        run(sql.format(file=file))
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == objects
    assert not (tmp_path / "x").exists()


def test_files_outside_the_lake_are_out_of_reach(run, loaded, tmp_path):
    (tmp_path / "secret").write_text("x")
    for outside in (str(tmp_path / "secret"), f"{loaded.lake.root}/../../secret", "/etc/passwd"):
        with pytest.raises(PlatformError, match="Cannot access file"):
            run(f"SELECT * FROM read_text('{outside}')")
    inside = f"{loaded.lake.root}/raw/**/*.parquet"
    assert "AAA" in run(f"SELECT symbol FROM read_parquet('{inside}', union_by_name = true)")
