"""The ledger that is gone is an error, not a new one, until somebody accepts the loss."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_platform.defs.forecasting import forecasts as module
from stock_platform.errors import PlatformError
from stock_platform.ml.ledger import FORECASTS, census, create_tables, write_forecasts
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support.platform import Platform

SMALL = {
    "STOCK_PLATFORM_SOURCE": "simulated",
    "STOCK_PLATFORM_SIMULATED_INSTRUMENTS": "2",
    "STOCK_PLATFORM_SIMULATED_YEARS": "3",
    "STOCK_PLATFORM_BACKTEST_WEEKS": "4",
}
TAG = "stock_platform/accept_ledger_loss"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    settings = Platform(tmp_path_factory.mktemp("loss")).settings
    with ensure_running(settings), connect(settings) as connection:
        yield connection


def row(**values: object) -> dict[str, object]:
    made: dict[str, object] = dict.fromkeys(FORECASTS, "")
    made |= {name: 0 for name, kind in FORECASTS.items() if "Int" in kind or "Float" in kind}
    made |= {name: date(2020, 1, 3) for name, kind in FORECASTS.items() if kind == "Date"}
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    return made | {"issued_at": long_ago, "as_of": long_ago} | values


def context(client: Any, tags: dict[str, str] | None = None) -> Any:
    """A run of `forecasts` after one that left the ledger as it is now."""
    instance = dg.DagsterInstance.ephemeral()
    until = datetime.now(UTC)
    held = census(client, until)
    left = {"until": until.isoformat(), "rows": held.rows, "fingerprint": held.fingerprint}
    instance.report_runless_asset_event(
        dg.AssetMaterialization("forecasts", metadata={"ledger_census": left})
    )
    return run_of(instance, tags or {})


def run_of(instance: dg.DagsterInstance, tags: dict[str, str]) -> Any:
    return SimpleNamespace(
        instance=instance,
        asset_key=dg.AssetKey("forecasts"),
        run=SimpleNamespace(tags=tags),
        log=logging.getLogger("test"),
    )


LOSSES = {
    "dropped": ["DROP TABLE market.forecasts"],
    "made again": ["DROP TABLE market.forecasts", "create"],
    "dropped and replaced": ["DROP TABLE market.forecasts", "create", "write"],
    "emptied": ["TRUNCATE TABLE market.forecasts"],
    "emptied, then altered": [
        "TRUNCATE TABLE market.forecasts",
        "ALTER TABLE market.forecasts MODIFY COMMENT 'newer than the census'",
    ],
}


@pytest.mark.parametrize("steps", LOSSES.values(), ids=LOSSES.keys())
def test_a_loss_is_an_error_that_names_it_and_both_mends(client: Any, steps: list[str]) -> None:
    create_tables(client)
    client.command("TRUNCATE TABLE market.forecasts")
    write_forecasts(client, pl.DataFrame([row(forecast_id=str(n)) for n in range(20)]))
    before, accepting = context(client), context(client, {TAG: "yes"})
    refusing = context(client, {TAG: "no"})
    assert module._check_untouched(before, client) is None
    for step in steps:
        if step == "create":
            create_tables(client)
        elif step == "write":
            again = row(forecast_id="new", issued_at=datetime.now(UTC))
            write_forecasts(client, pl.DataFrame([again]))
        else:
            client.command(step)
    for undecided in (before, refusing):
        with pytest.raises(PlatformError) as caught:
            module._check_untouched(undecided, client)
        said = str(caught.value)
        assert "market.forecasts" in said
        assert "20 rows" in said
        assert "backup" in said
        assert "run --accept-ledger-loss" in said
        assert f"{TAG}=yes" in said
    accepted = module._check_untouched(accepting, client)
    assert accepted is not None
    assert "20 rows" in accepted


def test_an_empty_ledger_that_is_dropped_lost_nothing(client: Any) -> None:
    create_tables(client)
    client.command("TRUNCATE TABLE market.forecasts")
    before = context(client)
    client.command("DROP TABLE market.forecasts")
    assert module._check_untouched(before, client) is None


def test_a_home_without_a_record_is_not_suspected(client: Any) -> None:
    create_tables(client)
    fresh = run_of(dg.DagsterInstance.ephemeral(), {})
    assert module._check_untouched(fresh, client) is None


def rows_in(platform: Platform) -> int:
    answer = platform.command(
        "stock-platform", "sql", "--format", "tsv", "SELECT count() FROM forecasts"
    )
    return int(answer.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_run_and_dagster_refuse_until_told(tmp_path: Path) -> None:
    platform = Platform(tmp_path, SMALL)
    drop = ("stock-platform", "sql", "--admin", "DROP TABLE market.forecasts")
    job = ("dagster", "job", "execute", "-m", "stock_platform.definitions", "-j", "forecast_week")
    try:
        with ensure_running(platform.settings):
            platform.run()
            held = rows_in(platform)
            assert held
            platform.command(*drop)
            refused = platform.run(check=False)
            assert refused.returncode == 1
            assert f"{held} rows" in refused.stderr
            assert "run --accept-ledger-loss" in refused.stderr
            # That run made the table anew, empty: the next is no wiser.
            assert rows_in(platform) == 0
            week = platform.command(
                *("stock-platform", "sql", "--format", "tsv"),
                "SELECT toMonday(max(session)) FROM fct_features_daily",
            ).stdout.strip()
            tags = {f"dagster/asset_partition_range_{end}": week for end in ("start", "end")}
            refused = platform.command(*job, "--tags", json.dumps(tags), check=False)
            assert refused.returncode == 1
            assert f"{TAG}=yes" in refused.stdout + refused.stderr
            assert rows_in(platform) == 0
            platform.command("stock-platform", "run", "--accept-ledger-loss")
            assert rows_in(platform) == held

            platform.command(*drop)
            platform.command(*job, "--tags", json.dumps({**tags, TAG: "yes"}))
            assert 0 < rows_in(platform) < held
            platform.run()
            assert rows_in(platform) == held
    finally:
        platform.down()
