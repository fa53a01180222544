"""`stock-platform diff` on the packaged sample, as a person types it.

Which reason a row gets is in `test_dbt_as_of.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from stock_platform.cli import app
from stock_platform.settings import Settings
from stock_platform.warehouse import beside
from stock_platform.warehouse.client import connect
from tests.support.platform import Platform


@pytest.fixture
def platform(sample: tuple[Settings, float]) -> Platform:
    return Platform(sample[0].home, port=sample[0].warehouse_port)


@pytest.fixture
def client(sample: tuple[Settings, float]) -> Iterator[Any]:
    connection = connect(sample[0])
    yield connection
    connection.close()


@pytest.fixture
def command(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command in this process: for what builds nothing."""
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, ["diff", *arguments])


@pytest.mark.slow
def test_a_month_ago_against_now(platform: Platform, client: Any, command: Any) -> None:
    """February's bars are new; its dividends of AAPL, IBM and MSFT change what came before."""
    for name in ("market_as_of_x__999999999", "market_diff__999999999"):
        client.command(f"CREATE DATABASE {name}")  # as a killed one leaves them
    asked = ["fct_daily_prices", "2013-02-01T00:00", "--clock", "available_at"]
    done = platform.command("stock-platform", "diff", *asked, "--keep", "--json", check=False)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["reasons"] == {
        "only_left": {},
        "only_right": {"new session": 105},
        "changed": {"dividend": 9747},
    }
    assert (told["same"], told["rows_right"], told["rows_equal"]) == (False, 12154, 2302)
    assert [one["name"] for one in told["columns"]] == ["close_total_return"]
    assert "building fct_daily_prices as of 2013-02-01 00:00:00: models 2/2" in done.stderr

    kept = "market_as_of_20130201T000000_available_at"
    assert beside.databases(client) == ["market", kept]
    assert not list((platform.home / "dbt").glob("market_*"))
    again = command("fct_daily_prices", kept, "--limit", "1")
    client.command(f"DROP DATABASE {kept}")
    lines = again.stdout.splitlines()
    assert lines[:6] == [
        "fct_daily_prices: as of 2013-02-01 00:00:00 UTC by available_at against database market",
        "  left        12,049 rows",
        "  right       12,154 rows",
        "  same         2,302",
        "  only left        0",
        "  only right     105  new session 105",
    ]
    assert "  only right, new session: XNAS:AAPL 2013-01-31" in lines
    assert any(
        line.startswith("  changed, dividend: XNAS:AAPL 2000-03-01: close_") for line in lines
    )


def test_a_mart_is_the_same_as_itself(command: Any) -> None:
    done = command("dim_session", "market")
    assert (done.exit_code, done.stdout.splitlines()[-1].split()) == (0, ["changed", "0"])


def test_a_build_that_fails_is_told_and_leaves_nothing(
    client: Any, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> subprocess.Popen[str]:
        code = "print('Compilation Error in model dim_session'); raise SystemExit(1)"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    monkeypatch.setattr(beside.dbt, "start", fail)
    done = command("dim_session", "now")
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.search(r"dim_session can't be built.*\n.*Compilation Error", done.stderr)
    assert beside.databases(client) == ["market"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fct_dialy_prices", "market"), "no mart 'fct_dialy_prices': did you mean fct_daily_"),
        (("int_features_as_of", "market"), "int_features_as_of has no key"),
        (("dim_session", "yesterday"), "neither a moment .* nor a database: there is market"),
        (("dim_session", "market", "default"), "database default holds no dim_session"),
    ],
)
def test_what_cannot_be_compared_is_told(
    command: Any, arguments: tuple[str, ...], said: str
) -> None:
    done = command(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert re.search(said, done.stderr), done.stderr
