"""`stock-platform sql` reads; changing anything takes `--admin`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stock_platform.warehouse import credentials
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import directory, ensure_running
from tests.support.platform import Platform


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running local server with one table."""
    platform = Platform(Path(tmp_path_factory.mktemp("sql")))
    with ensure_running(platform.settings):
        with connect(platform.settings) as client:
            client.command("CREATE TABLE market.kept (a UInt8) ENGINE = MergeTree ORDER BY a")
            client.command("INSERT INTO market.kept VALUES (7)")
        yield platform


@pytest.fixture(scope="module")
def external(local: Platform) -> Platform:
    """The same server as an external one, whose only known user may do all."""
    made = credentials.load(directory(local.settings))
    return Platform(
        local.home.with_name("elsewhere"),
        {
            "STOCK_PLATFORM_CLICKHOUSE_URL": f"http://127.0.0.1:{local.port}",
            "STOCK_PLATFORM_CLICKHOUSE_PASSWORD": made[credentials.ADMINISTRATOR],
        },
    )


WHERE = ["local", pytest.param("external", marks=pytest.mark.slow)]
CHANGING = [
    "DROP TABLE market.kept",
    "TRUNCATE TABLE kept",
    "INSERT INTO kept VALUES (8)",
    "ALTER TABLE kept DELETE WHERE 1",
    "INSERT INTO kept SETTINGS readonly = 0 VALUES (8)",
    "SET readonly = 0",
    "CREATE TABLE made (a UInt8) ENGINE = Memory",
]


@pytest.mark.parametrize("where", WHERE)
def test_nothing_changes_without_admin(where: str, request: pytest.FixtureRequest) -> None:
    platform: Platform = request.getfixturevalue(where)
    for statement in CHANGING:
        refused = platform.command("stock-platform", "sql", statement, check=False)
        assert refused.returncode == 1, statement
        assert "needs --admin" in refused.stderr, statement
        assert "Traceback" not in refused.stderr
    answer = platform.command("stock-platform", "sql", "--format", "tsv", "SELECT * FROM kept")
    assert answer.stdout == "7\n"


@pytest.mark.parametrize("where", WHERE)
def test_admin_may(where: str, request: pytest.FixtureRequest) -> None:
    platform: Platform = request.getfixturevalue(where)
    for statement in (
        "CREATE TABLE made (a UInt8) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO made VALUES (1)",
        "DROP TABLE market.made",
    ):
        platform.command("stock-platform", "sql", "--admin", statement)
    wrong = platform.command("stock-platform", "sql", "--admin", "DROP TABLE gone", check=False)
    assert wrong.returncode == 1
    assert "UNKNOWN_TABLE" in wrong.stderr
    assert "--admin" not in wrong.stderr


def test_a_home_that_has_no_warehouse_yet_answers(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    answer = platform.command("stock-platform", "sql", "--format", "tsv", "SELECT 1")
    assert answer.stdout == "1\n"
    refused = platform.command("stock-platform", "sql", "SELECT * FROM forecasts", check=False)
    assert "UNKNOWN_TABLE" in refused.stderr
    assert "--admin" not in refused.stderr
