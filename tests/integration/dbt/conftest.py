"""A warehouse server, the sample built in it, and databases of a test's own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stock_platform.lake import ingest
from stock_platform.lake.lake import Lake
from stock_platform.ml.ledger import create_tables
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import beside, reference
from stock_platform.warehouse import dbt as plain_dbt
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support.dbt_project import Project
from tests.support.platform import free_port


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse server of these tests' own."""
    settings = Settings(home=tmp_path_factory.mktemp("dbt-home"), warehouse_port=free_port())
    with ensure_running(settings):
        yield settings


@pytest.fixture(scope="session")
def sample(warehouse: Settings) -> tuple[Settings, float]:
    """The packaged sample in the lake and every mart built; and the seconds dbt took."""
    lake, source = Lake.open(warehouse), get_source(warehouse)
    ingest.load(source, lake, *source.span(), settings=warehouse)
    client = connect(warehouse)
    create_tables(client)
    reference.sync(client, lake, source)
    client.close()
    start = time.monotonic()
    done = plain_dbt.run(warehouse, "build")
    assert done.returncode == 0, done.stdout[-4000:]
    return warehouse, time.monotonic() - start


@contextmanager
def empty_project(warehouse: Settings, base: Path) -> Iterator[Project]:
    """An empty database with empty reference tables, and an empty lake below `base`.

    Both have the same name in every test, because dbt parses the project anew when one changes.
    """
    client = connect(warehouse)
    create_tables(client)
    client.command("CREATE DATABASE unit")
    client.database = "unit"
    for table in ("forecasts", "promotions"):
        client.command(f"CREATE TABLE {table} AS market.{table}")
    for table in (
        reference.LAKE_OBJECTS,
        reference.REFERENCE_INSTRUMENTS,
        reference.REFERENCE_SESSIONS,
    ):
        client.command(table.ddl(table.name))
    yield Project(
        settings=warehouse,
        client=client,
        database="unit",
        lake_root=str(base / "unit-lake"),
        folder=PROJECT_ROOT / "dbt",
        target=base / "dbt-target",
    )
    for name in reversed(beside.databases(client)):
        if name.startswith("unit"):  # what a test built beside it, then itself
            client.command(f"DROP DATABASE {name}")
    client.close()
    shutil.rmtree(base / "unit-lake", ignore_errors=True)


@pytest.fixture
def project(warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An empty project of a test's own."""
    with empty_project(warehouse, tmp_path_factory.getbasetemp()) as made:
        yield made


@pytest.fixture
def on_sample(project: Project, sample: tuple[Settings, float]) -> Project:
    """A database whose staging and reference tables are those of the sample, by view."""
    for table in (
        "stg_equity_prices",
        "stg_corporate_actions",
        "stg_coverage",
        "lake_objects",
        "reference_instruments",
        "reference_sessions",
    ):
        project.client.command(f"DROP TABLE IF EXISTS {table}")
        project.client.command(f"CREATE VIEW {table} AS SELECT * FROM market.{table}")
    project.variables["DBT_SOURCE"] = "sample"
    return project
