"""A real warehouse server with the real sample, its features as of, and empty registries."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from shutil import copyfile
from typing import Any

import polars as pl
import pytest

from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.registry import Registry
from stock_platform.ml.training import TrainingReport, train_weeks
from stock_platform.settings import Settings
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support import panels
from tests.support.platform import free_port

QUICK = ["random_walk", "random_walk_calibrated", "ewma"]
"""Candidates that take no time to fit."""
LAST = date(2013, 2, 25)
"""The sample's last week."""


def mondays(last: date, number: int) -> list[date]:
    return [last - timedelta(weeks=w) for w in range(number)][::-1]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a running server whose `market` holds what room ml reads."""
    settings = Settings(home=tmp_path_factory.mktemp("ml-home"), warehouse_port=free_port())
    with ensure_running(settings):
        client = connect(settings)
        load_sample(client)
        client.close()
        yield settings


@pytest.fixture
def client(home: Settings) -> Iterator[Any]:
    connection = connect(home)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database as it is first made, which takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    Registry(Settings(home=folder, mlflow_tracking_uri=uri)).client.search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def settings(home: Settings, tmp_path: Path, empty_registry: Path) -> Settings:
    """The shared server, with a registry and a lake of the test's own."""
    copyfile(empty_registry, tmp_path / "mlflow.db")
    return home.model_copy(
        update={
            "lake_url": str(tmp_path / "lake"),
            "mlflow_tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}",
        }
    )


@pytest.fixture(scope="session")
def trained(home: Settings) -> tuple[Settings, TrainingReport]:
    """The last 60 weeks trained as source `sample`."""
    client = connect(home)
    reader = PanelReader.from_warehouse(client)
    report = train_weeks(client, Registry(home), reader, "sample", mondays(LAST, 60))
    client.close()
    return home, report


def load_sample(client: Any) -> None:
    """What dbt and warehouse/reference.py would have made; the view has dbt's signature."""
    client.command(
        "CREATE TABLE reference_sessions (calendar String, session Date,"
        " session_number Int64, open_at DateTime64(6, 'UTC'), close_at DateTime64(6, 'UTC'))"
        " ENGINE = MergeTree ORDER BY (calendar, session)"
    )
    client.insert_arrow("reference_sessions", arrow(panels.weeks().sessions))
    frame = panels.sample_features()
    kinds = {pl.String: "String", pl.Date: "Date", pl.Int64: "Int64"}
    kinds |= {pl.Float64: "Nullable(Float64)"}
    moment = "DateTime64(6, 'UTC')"
    columns = ", ".join(f"{name} {kinds.get(kind, moment)}" for name, kind in frame.schema.items())
    client.command(
        f"CREATE TABLE test_features ({columns}) ENGINE = MergeTree"
        " ORDER BY (instrument_id, session)"
    )
    client.insert_arrow("test_features", arrow(frame))
    client.command(
        "CREATE VIEW int_features_as_of AS SELECT * FROM test_features"
        " WHERE available_at <= {as_of:DateTime64(6, 'UTC')} AND {clock:String} != ''"
    )
    client.command(
        "CREATE VIEW int_bars_as_of AS SELECT instrument_id, session, close_traded AS open,"
        " close_traded AS high, close_traded AS low, close_traded AS close, 1000. AS volume,"
        " price_index / close_traded AS split_factor,"
        " price_index / close_traded AS total_return_factor FROM test_features"
        " WHERE available_at <= {as_of:DateTime64(6, 'UTC')} AND {clock:String} != ''"
    )
    client.command(
        "CREATE TABLE fct_forecast_accuracy (instrument_id String, kind String,"
        " backtest_name String, origin_session Date, horizon UInt8, pinball_loss Float64,"
        " baseline_pinball_loss Float64, forecast_id String, actual Float64, is_inside_80 Bool)"
        " ENGINE = MergeTree ORDER BY instrument_id"
    )


def arrow(frame: pl.DataFrame) -> Any:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
