"""Dagster's own storage under `STOCK_PLATFORM_HOME/dagster`, named by `dagster.yaml`.

Only places and batching: the classes are Dagster's SQLite storage and log manager, told where to
live by the platform's settings instead of by a second variable.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster import DagsterEventType
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData

from stock_platform.settings import load_settings

EVENTS_PER_TRANSACTION = "500"
"""Default of `DAGSTER_EVENT_BATCH_SIZE`, the variable from which Dagster takes its batch size."""

_BATCHED = frozenset(
    {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_MATERIALIZATION_PLANNED}
)


def dagster_folder() -> Path:
    """Folder of Dagster's databases and logs, created when missing."""
    folder = load_settings().home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class HomeEventLogStorage(SqliteEventLogStorage):
    """SQLite event log that stores a batch of materializations in two transactions.

    A range of 4,749 daily partitions is as many events; one connection and commit for each costs
    17 ms, so the twenty-year backfill of an asset would spend minutes on its own log.
    """

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store plain asset events together and any other (a check's plan) one by one."""
        asset_events = [event for event in events if event.dagster_event_type in _BATCHED]
        for event in events:
            if event.dagster_event_type not in _BATCHED:
                self.store_event(event)
        inserts = [self.prepare_insert_event(event) for event in asset_events]
        for run_id in {event.run_id for event in asset_events}:
            with self.run_connection(run_id) as connection:
                for event, insert in zip(asset_events, inserts, strict=True):
                    if event.run_id == run_id:
                        connection.execute(insert)
        with self.index_transaction() as connection:
            for event, insert in zip(asset_events, inserts, strict=True):
                event_id = connection.execute(insert).inserted_primary_key[0]  # type: ignore[index]
                self._store_asset_event_tags(connection, [event], [event_id])
                self._store_asset_event(connection, event, event_id)


class HomeStorage(DagsterSqliteStorage):
    """Run, event and schedule storage of the local instance."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = HomeEventLogStorage(str(Path(base_dir) / "history" / "runs"))

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows from the settings."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> "HomeStorage":
        """Called by Dagster with the (empty) options of `dagster.yaml`."""
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", EVENTS_PER_TRANSACTION)
        return cls(str(dagster_folder()), inst_data)


class HomeArtifactStorage(LocalArtifactStorage):
    """Small files that Dagster itself keeps."""

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows from the settings."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> "HomeArtifactStorage":
        """Called by Dagster with the (empty) options of `dagster.yaml`."""
        return cls(str(dagster_folder()), inst_data)


class HomeComputeLogManager(LocalComputeLogManager):
    """Standard output and error of every step."""

    @classmethod
    def config_type(cls) -> Any:
        """No options: the place follows from the settings."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> "HomeComputeLogManager":
        """Called by Dagster with the (empty) options of `dagster.yaml`."""
        return cls(str(dagster_folder() / "logs"), inst_data=inst_data)
