"""The metastore: one Iceberg table per dataset over objects that never move.

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
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.lake import catalog_uri, housekeeping, iceberg, paths
from stock_platform.lake.catalog_uri import CatalogError
from stock_platform.lake.schema import DATASETS, Dataset

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog as IcebergCatalog
    from pyiceberg.table import Table

    from stock_platform.lake.store import ObjectStore

_ATTEMPTS = 12
_MANIFEST_BYTES = 32 * 1024  # about 150 objects: a merge, in most commits, rewrites at most these
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
        self._address = catalog_uri.parse(uri)
        self._store = store
        self._tables: dict[str, Table] = {}

    @cached_property
    def _iceberg(self) -> IcebergCatalog:
        return self._address.open(self._store.uri("iceberg"), self._store.iceberg_properties())

    def table(self, dataset: Dataset) -> Table:
        """The dataset's table in its present state."""
        from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError

        name = (self._address.namespace, dataset.name)
        with self._address.named_errors("read"):
            known = self._tables.get(dataset.name)
            if known is not None:
                return known.refresh()
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
            (self._address.namespace, dataset.name),
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
        from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

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
                with self._address.named_errors("commit to"):
                    self._append(table, missing)
            except (CommitFailedException, CommitStateUnknownException):
                # Lost to a rival, or not answered: the next attempt asks again what is missing.
                time.sleep(random.uniform(0, 0.05 * 2 ** min(attempt, 6)))
                continue
            with self._address.named_errors("tidy"):
                housekeeping.tidy(self.table(dataset))
            return len(missing)
        raise CatalogError(
            f"{dataset.name}: {_ATTEMPTS} commits to the catalog at {self._address.shown}"
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
