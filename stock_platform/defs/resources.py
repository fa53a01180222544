"""Resources: the one place where assets get settings, lake, warehouse, dbt, DuckDB, S3 and MLflow.

Nothing here opens a connection when it is imported or constructed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import PrivateAttr

from stock_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client
    from duckdb import DuckDBPyConnection

    from stock_platform.lake.as_of import Clock
    from stock_platform.lake.lake import Lake
    from stock_platform.sources.base import Source


class PlatformResource(dg.ConfigurableResource[Any]):
    """Settings and what follows from them."""

    _settings: Settings | None = PrivateAttr(default=None)

    @property
    def settings(self) -> Settings:
        """The settings, read once per run."""
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    def lake(self) -> "Lake":
        """The lake at the configured root."""
        from stock_platform.lake.lake import Lake

        return Lake.open(self.settings)

    def source(self, name: str | None = None) -> "Source":
        """The source called `name`, the active one without a name."""
        from stock_platform.sources import get_source

        return get_source(self.settings, name)

    @contextmanager
    def warehouse(self, run_id: str | None = None) -> Iterator["Client"]:
        """An administrator's client; the local server runs at least as long as it is open."""
        from stock_platform.warehouse.client import connect
        from stock_platform.warehouse.local import ensure_running

        with ensure_running(self.settings):
            client = connect(self.settings, run_id=run_id)
            try:
                yield client
            finally:
                client.close()


class LakeDuckDB(DuckDBResource):
    """DuckDB in memory, offline, with a view per dataset of the lake, through its catalog.

    The same views as `stock-platform lake` gives: every version of every row, or as of a moment.
    """

    platform: dg.ResourceDependency[PlatformResource]

    @contextmanager
    def get_connection(
        self, at: datetime | None = None, clock: "Clock | None" = None
    ) -> Iterator["DuckDBPyConnection"]:
        """A connection of its own; with `at` each row as of then by `clock` (or `known_at`)."""
        from stock_platform.lake.query import register

        with super().get_connection() as connection:
            register(connection, self.platform.lake(), self.platform.settings, at=at, clock=clock)
            yield connection


@dg.resource(description="MLflow run of this Dagster run (dagster-mlflow), closed when it ends.")
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """dagster-mlflow's tracking resource, imported only where a run uses it: mlflow takes 5 s."""
    from types import SimpleNamespace

    import mlflow
    from dagster_mlflow.resources import MlFlow

    from stock_platform.ml.registry import EXPERIMENT, Registry

    settings = load_settings()
    # The registry makes database and experiment so that a kill leaves neither half made.
    _ = Registry(settings).experiment_id
    tracking = MlFlow(  # type: ignore[no-untyped-call]
        SimpleNamespace(
            log=context.log,
            dagster_run=context.dagster_run,
            run_id=context.run_id,
            resource_config={
                "experiment_name": EXPERIMENT,
                "mlflow_tracking_uri": settings.mlflow_tracking,
            },
        )
    )
    try:
        yield tracking
    except BaseException:
        mlflow.end_run(status="FAILED")
        raise
    mlflow.end_run()


def resources() -> dict[str, Any]:
    """The platform's resources by the names that assets ask for."""
    from stock_platform.defs.marts.dbt import dbt_resource
    from stock_platform.lake.query import OFFLINE

    platform = PlatformResource()
    return {
        "platform": platform,
        "dbt": dbt_resource,
        "duckdb": LakeDuckDB(
            database=":memory:", connection_config=dict(OFFLINE), platform=platform
        ),
        "mlflow": mlflow_tracking,
    }
