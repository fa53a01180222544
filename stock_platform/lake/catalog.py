"""The metastore: one Iceberg table per dataset in namespace `lake`, over objects that never move.

Objects are registered where they lie, nothing is rewritten. Keeping the tables' own metadata small
is `housekeeping.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake import housekeeping, iceberg, paths
from stock_platform.lake.schema import DATASETS, Dataset

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog as IcebergCatalog
    from pyiceberg.table import Table

    from stock_platform.lake.store import ObjectStore

NAMESPACE = "lake"
_ATTEMPTS = 12
_MANIFEST_BYTES = 64 * 1024  # about 1,000 objects: a merge rewrites at most this much
_PROPERTIES = {
    "format-version": "2",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "16",
    "commit.manifest.target-size-bytes": str(_MANIFEST_BYTES),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # pyiceberg's own retry would append again without asking whether a rival added the same path.
    "commit.retry.num-retries": "0",
}

OBJECTS_SCHEMA = pl.Schema(
    {
        "path": pl.String(),
        "source": pl.String(),
        "session": pl.Date(),
        "rows": pl.Int64(),
        "bytes": pl.Int64(),
    }
)


class CatalogError(PlatformError):
    """The catalog can't be opened or committed to; the message names it and the mend."""


@dataclass(frozen=True)
class NewObject:
    """An object to register."""

    key: str
    session: date
    rows: int
    bytes: int


class Catalog:
    """The tables of the lake, made on first use."""

    def __init__(self, uri: str, store: ObjectStore) -> None:
        self._uri = uri
        self._store = store
        self._tables: dict[str, Table] = {}

    @cached_property
    def _iceberg(self) -> IcebergCatalog:
        from pyiceberg.catalog.sql import SqlCatalog
        from sqlalchemy.exc import SQLAlchemyError

        uri = self._uri
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
            uri += "?timeout=60"  # wait for a rival's commit instead of "database is locked"
        properties = {"warehouse": self._store.uri("iceberg"), **self._store.iceberg_properties()}
        for attempt in range(3):
            try:
                catalog = SqlCatalog(NAMESPACE, uri=uri, **properties)
                catalog.create_namespace_if_not_exists(NAMESPACE)
            except (SQLAlchemyError, ImportError) as error:
                # Of two processes that make a new catalog, one finds its tables half made.
                if attempt < 2 and isinstance(error, SQLAlchemyError):
                    time.sleep(0.2)
                    continue
                raise CatalogError(
                    f"can't open the lake's catalog at {_without_password(self._uri)}: {error}"
                    " (check STOCK_PLATFORM_CATALOG_URI)"
                ) from error
            return catalog
        raise AssertionError("unreachable")

    def table(self, dataset: Dataset) -> Table:
        """The dataset's table in its present state."""
        from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError

        known = self._tables.get(dataset.name)
        if known is not None:
            return known.refresh()
        name = (NAMESPACE, dataset.name)
        try:
            table = self._iceberg.load_table(name)
        except NoSuchTableError:
            try:
                table = self._create(dataset)
            except TableAlreadyExistsError:
                table = self._iceberg.load_table(name)
        self._tables[dataset.name] = table
        return table

    def _create(self, dataset: Dataset) -> Table:
        from pyiceberg.partitioning import PartitionField, PartitionSpec
        from pyiceberg.transforms import DayTransform

        schema = iceberg.schema_of(dataset)
        session = schema.find_field("session").field_id
        return self._iceberg.create_table(
            (NAMESPACE, dataset.name),
            schema=schema,
            location=self._store.uri(f"iceberg/{dataset.name}"),
            partition_spec=PartitionSpec(
                PartitionField(session, 1000, DayTransform(), "session_day")
            ),
            # Objects carry names, not field ids.
            properties={
                **_PROPERTIES,
                "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
            },
        )

    def register(self, dataset: Dataset, objects: Sequence[NewObject]) -> int:
        """Add the objects that the table does not have yet, in one commit, or none for none.

        Returns:
            How many were added.

        Raises:
            CatalogError: other writers won every attempt.
        """
        from pyiceberg.exceptions import CommitFailedException

        wanted = {self._store.uri(item.key): item for item in objects}
        for attempt in range(_ATTEMPTS):
            table = self.table(dataset)
            # What is missing is asked of the very snapshot the commit is conditional on, so a path
            # can't be added twice, whoever else is writing.
            present = self._paths(table, {item.session for item in wanted.values()})
            missing = {uri: item for uri, item in wanted.items() if uri not in present}
            if not missing:
                return 0
            try:
                self._append(table, missing)
            except CommitFailedException:
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)))
                continue
            housekeeping.tidy(self.table(dataset))
            return len(missing)
        raise CatalogError(
            f"{dataset.name}: {_ATTEMPTS} commits to the catalog at {_without_password(self._uri)}"
            " lost to other writers; run it again (what was written is kept and registered then)"
        )

    def _append(self, table: Table, objects: dict[str, NewObject]) -> None:
        with (
            table.transaction() as transaction,
            transaction.update_snapshot().merge_append() as append,
        ):
            for uri, item in sorted(objects.items(), key=lambda pair: pair[1].key):
                append.append_data_file(
                    iceberg.data_file(table, uri, item.session, item.rows, item.bytes)
                )

    def missing(self, dataset: Dataset, keys: Collection[str]) -> list[str]:
        """Those of the keys that the table does not have."""
        sessions = {key.session for name in keys if (key := paths.parse(name)) is not None}
        present = self._paths(self.table(dataset), sessions)
        return [key for key in keys if self._store.uri(key) not in present]

    def _paths(self, table: Table, sessions: set[date]) -> set[str]:
        if not sessions:
            return set()
        return {entry.file_path for entry in iceberg.entries(table, min(sessions), max(sessions))}

    def objects(
        self, dataset: Dataset, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Every registered object of the sessions, ordered by path: `OBJECTS_SCHEMA`."""
        prefix = self._store.uri("")
        rows = []
        for entry in iceberg.entries(self.table(dataset), first or date.min, last or date.max):
            key = paths.parse(entry.file_path)
            if key is None or not entry.file_path.startswith(prefix):
                raise CatalogError(
                    f"the catalog names {entry.file_path}, which is no object of this lake"
                    " (was the lake moved? set STOCK_PLATFORM_LAKE_URL back)"
                )
            if (first or date.min) <= key.session <= (last or date.max):
                rows.append(
                    (
                        self._store.location(entry.file_path.removeprefix(prefix)),
                        key.source,
                        key.session,
                        entry.record_count,
                        entry.file_size_in_bytes,
                    )
                )
        return pl.DataFrame(rows, schema=OBJECTS_SCHEMA, orient="row").sort("path")

    def snapshot_ids(self) -> dict[str, int]:
        """The present snapshot of every dataset; 0 for one without objects."""
        return {
            name: snapshot.snapshot_id if (snapshot := table.current_snapshot()) else 0
            for name, dataset in DATASETS.items()
            for table in (self.table(dataset),)
        }

    def metadata_location(self, dataset: Dataset) -> str:
        """Address of the table's present metadata file, for readers without a catalog."""
        return self.table(dataset).metadata_location


def _without_password(uri: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:
        return "an address that is no SQLAlchemy URI"
