"""The checks of drift judge each pool by itself: forty good shares don't hide one metal."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from stock_platform.defs.accuracy.drift import drift_checks
from stock_platform.defs.resources import PlatformResource
from stock_platform.ml import record
from stock_platform.ml.issue import backtest_name
from stock_platform.ml.ledger import FORECASTS, create_tables, write_forecasts
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.record import feature_drift, read_records
from tests.integration.ml.conftest import mondays

WEEKS = mondays(date(2013, 2, 25), 40)
SHARES = [f"S{n}" for n in range(40)]
MOVED = date(2012, 10, 1)
"""From here on the metal's returns are others."""


def evaluation(home, monkeypatch) -> dict[str, dg.AssetCheckEvaluation]:
    monkeypatch.setenv("STOCK_PLATFORM_HOME", str(home.home))
    monkeypatch.setenv("STOCK_PLATFORM_WAREHOUSE_PORT", str(home.warehouse_port))
    monkeypatch.setenv("STOCK_PLATFORM_SOURCE", "simulated")
    checks = dg.Definitions(asset_checks=drift_checks, resources={"platform": PlatformResource()})
    found = checks.resolve_implicit_global_asset_job_def().execute_in_process()
    return {one.check_name: one for one in found.get_asset_check_evaluations()}


def matured(name: str, week: date, place: int, at: int) -> dict:
    """Shares hold 80 % of their intervals, scattered by week, and gain; the metal neither."""
    metal = name == "GOLD"
    return {
        "forecast_id": f"{name} {week}",
        "instrument_id": name,
        "kind": "backtest",
        "backtest_name": backtest_name("simulated"),
        "origin_session": week + timedelta(days=4),
        "horizon": 5,
        "pinball_loss": 1.2 if metal else 0.9 + 0.01 * (at % 3),
        "baseline_pinball_loss": 1.0,
        "actual": 1.0,
        "is_inside_80": at % 3 == 0 if metal else place >= (10 if at % 2 else 6),
    }


@pytest.fixture(scope="module")
def judged(home):
    """The mart with a good pool and a bad one, and the features with a pool that moved."""
    from stock_platform.warehouse.client import connect

    client = connect(home)
    client.command(
        "CREATE TABLE dim_instrument (instrument_id String, asset_class String)"
        " ENGINE = MergeTree ORDER BY instrument_id"
    )
    listed = [[name, "equity"] for name in SHARES] + [["GOLD", "metal"]]
    listed += [[f"TEST:{name}", "etf"] for name in ("AAPL", "GOOG", "MSFT")]
    client.insert("dim_instrument", [*listed, ["TEST:IBM", "metal"]])
    rows = [
        matured(name, week, place, at)
        for at, week in enumerate(WEEKS)
        for place, name in enumerate([*SHARES, "GOLD"])
    ]
    client.insert(
        "fct_forecast_accuracy", [list(row.values()) for row in rows], column_names=list(rows[0])
    )
    create_tables(client)
    blank = dict.fromkeys(FORECASTS, "") | {
        key: 0 for key, kind in FORECASTS.items() if "Int" in kind or "Float" in kind
    }
    blank |= {key: WEEKS[0] for key, kind in FORECASTS.items() if kind == "Date"}
    blank |= {key: datetime(2020, 1, 1, tzinfo=UTC) for key in ("issued_at", "as_of")}
    blank |= {name: 0.9 + 0.01 * level for level, name in enumerate(COLUMN_NAMES)}
    write_forecasts(
        client,
        pl.DataFrame(
            [blank | {k: row[k] for k in ("forecast_id", "instrument_id")} for row in rows]
        ),
    )
    client.command(
        "CREATE TABLE fct_features_daily ENGINE = MergeTree ORDER BY (instrument_id, session) AS"
        " SELECT * REPLACE (if(symbol = 'IBM', 'metal', 'equity') AS asset_class, feature_ret_1 +"
        f" if(symbol = 'IBM' AND session >= '{MOVED}', 1, 0) AS feature_ret_1) FROM test_features"
    )
    yield client
    for table in ("dim_instrument", "fct_features_daily"):
        client.command(f"DROP TABLE {table}")
    client.command("TRUNCATE TABLE fct_forecast_accuracy")  # the server is shared
    client.close()


def test_one_bad_pool_is_enough_and_is_named(judged, home, monkeypatch):
    found = evaluation(home, monkeypatch)
    for check, said in (("coverage_holds", "the 80 % interval held"), ("skill_holds", "skill -20")):
        one = found[check]
        assert not one.passed
        assert one.description.startswith(f"metal: {said}")
        assert "; equity: " in one.description
        lines = str(one.metadata["pools"].value).splitlines()
        assert lines[0] == "| pool | weeks | value | low | high | holds |"
        assert [line.split(" | ")[0] for line in lines[2:]] == ["| metal", "| equity"]
    shifted = found["features_hold"]
    assert not shifted.passed
    assert "metal feature_ret_1" in shifted.description
    assert "| pool | feature |" in str(shifted.metadata["stability_index"].value)


def test_all_pools_together_would_have_held(judged, home, monkeypatch):
    """What the checks looked at before: the metal is one in forty-one."""
    monkeypatch.setattr(
        record, "POOL_PARAMETERS", {"classes": ["equity", "metal"], "pools": ["all", "all"]}
    )
    found = evaluation(home, monkeypatch)
    assert found["coverage_holds"].passed
    assert found["skill_holds"].passed
    assert found["skill_holds"].description.startswith("all: ")


def test_a_record_is_of_one_pool(judged):
    records = read_records(judged, "backtest", backtest_name("simulated"))
    assert set(records) == {"equity", "metal"}
    assert records["equity"].weeks["forecasts"].to_list() == [40] * 40
    assert records["metal"].weeks["forecasts"].to_list() == [1] * 40
    assert records["metal"].weeks["week"].to_list() == WEEKS
    # Every actual is 1.0 and the tenth quantile 1.0: those above it lie above every actual.
    assert records["metal"].calibration["share"].to_list() == [0.0] * 11 + [1.0] * 10
    assert read_records(judged, "live", "") == {}


def test_features_shift_by_pool(judged):
    found = feature_drift(judged, ["feature_vol_22", "feature_ret_1"])
    told = {(row["pool"], row["feature"]): row["shifted"] for row in found.rows(named=True)}
    assert told == {
        ("metal", "feature_vol_22"): False,
        ("metal", "feature_ret_1"): True,
        ("equity", "feature_vol_22"): False,
        ("equity", "feature_ret_1"): False,
    }
