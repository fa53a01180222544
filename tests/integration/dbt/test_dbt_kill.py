"""G2 for dbt: killed at any model, the next build ends where an undisturbed one ends.

A reader polls all the while, from the first build of an empty database on or while sessions are
added to what is there: a table is absent, as it was, or whole; never empty, half or gone again.
"""

import random
import threading
import time
from datetime import date

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stock_platform.settings import Settings
from stock_platform.warehouse.client import connect
from tests.support.dbt_project import Project, content

MODELS = [
    "stg_equity_prices",
    "stg_corporate_actions",
    "dim_session",
    "int_daily_prices",
    "fct_daily_prices",
    "fct_features_daily",
    "int_weekly_prices",
    "fct_corporate_actions",
    "agg_market_overview",
    "agg_volatility",
    "agg_correlation",
    "agg_gold_daily",
    "fct_price_anomalies",
    "fct_price_revisions",
    "fct_forecast_accuracy",
    "agg_accuracy_by_week",
]
POLLED = ["int_daily_prices", "fct_features_daily", "dim_session"]
NO_TABLE = 60


def kill_at(project: Project, model: str, seconds: float) -> bool:
    """Start a build and kill -9 it `seconds` after it starts the model; was it alive then?"""
    process = project.start("run")
    assert process.stdout is not None
    for line in process.stdout:
        if " START " in line and f".{model}" in line.replace("`", ""):
            time.sleep(seconds)
            break
    alive = process.poll() is None
    process.kill()
    process.communicate()
    return alive


def rehearse(
    project: Project, sample: Settings, models: list[str], built_before: date | None = None
) -> None:
    """Build, killed at each of the models; with `built_before` upon a build of what lies before."""
    for table in ("lake_objects", "reference_instruments", "reference_sessions"):
        project.client.command(f"DROP TABLE {table}")
        project.client.command(f"CREATE VIEW {table} AS SELECT * FROM market.{table}")
    project.variables["DBT_SOURCE"] = "sample"
    project.lake_root = sample.lake_root
    undisturbed = content(project.client, "market")
    start: dict[str, tuple[int, str] | None] = dict.fromkeys(POLLED)
    if built_before:
        view = "CREATE OR REPLACE VIEW lake_objects AS SELECT * FROM market.lake_objects"
        project.client.command(f"{view} WHERE session < '{built_before}'")
        assert project.dbt("run") == (True, {})
        start = dict(content(project.client, "unit", POLLED))
        assert all(start[name] != undisturbed[name] for name in POLLED if name != "dim_session")
        project.client.command(view)

    seen: dict[str, list[tuple[int, str] | None]] = {name: [] for name in POLLED}
    stop = threading.Event()

    def poll() -> None:
        reader = connect(sample, user="reader")
        while not stop.is_set():
            for name, states in seen.items():
                try:
                    state = content(reader, "unit", [name])[name]
                except DatabaseError as error:
                    state = None if error.code == NO_TABLE else (-1, str(error))
                if not states or states[-1] != state:
                    states.append(state)
            stop.wait(0.02)
        reader.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        chance = random.Random(7)
        killed = [kill_at(project, model, chance.uniform(0, 0.4)) for model in models]
        assert any(killed), "every build ended before it was killed"
        success, bad = project.dbt("run")
        assert success, bad
    finally:
        stop.set()
        thread.join()
    built = content(project.client, "unit")
    assert {name: built[name] for name in undisturbed} == undisturbed
    assert not [name for name in built if "__" in name], "a side table was left behind"
    for name, states in seen.items():
        # What the poll saw first may be the end already; nothing else but the two was ever seen.
        assert states in ([start[name], undisturbed[name]], [undisturbed[name]]), name


@pytest.mark.slow
def test_killed_while_loading_and_while_building(
    project: Project, sample: tuple[Settings, float]
) -> None:
    rehearse(project, sample[0], ["stg_equity_prices", "fct_features_daily"])


@pytest.mark.slow
def test_killed_at_every_model(project: Project, sample: tuple[Settings, float]) -> None:
    rehearse(project, sample[0], MODELS)


@pytest.mark.slow
def test_killed_while_sessions_are_added(project: Project, sample: tuple[Settings, float]) -> None:
    rehearse(project, sample[0], MODELS, built_before=date(2013, 1, 15))
