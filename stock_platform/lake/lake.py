"""The lake as a whole: where it is, what is in it, reading it.

Writing is `ingest.load` and nothing else. SQL over it is `query.py`.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.lake import as_of as as_of_module
from stock_platform.lake import objects, paths
from stock_platform.lake.as_of import Clock
from stock_platform.lake.catalog import Catalog
from stock_platform.lake.schema import Dataset
from stock_platform.lake.schema import dataset as find_dataset
from stock_platform.lake.store import ObjectStore, open_store

if TYPE_CHECKING:
    from stock_platform.settings import Settings

_LIST_BY_DAY = 40  # above this many days one walk of the whole dataset is cheaper


class Lake:
    """Raw objects and their catalog. `Lake.open(settings)` makes one; opening creates nothing."""

    def __init__(self, store: ObjectStore, catalog: Catalog) -> None:
        self.store = store
        self.catalog = catalog

    @classmethod
    def open(cls, settings: Settings) -> Lake:
        """The lake at `settings.lake_root` with the catalog at `settings.catalog`."""
        store = open_store(settings)
        return cls(store, Catalog(settings.catalog, store))

    @property
    def root(self) -> str:
        """Absolute directory or `s3://` URL."""
        return self.store.root

    def objects(
        self, dataset: str, first: date | None = None, last: date | None = None
    ) -> pl.DataFrame:
        """Registered objects: path, source, session, rows, bytes; ordered by path.

        `path` is absolute, or an `s3://bucket/key` URL. ClickHouse's `_path` is the same for a
        local file and lacks the leading `s3://` for S3.
        """
        return self.catalog.objects(find_dataset(dataset), first, last)

    def snapshot_ids(self) -> dict[str, int]:
        """The catalog's snapshot of every dataset; 0 for an empty one."""
        return self.catalog.snapshot_ids()

    def read(
        self,
        dataset: str,
        first: date | None = None,
        last: date | None = None,
        source: str | None = None,
    ) -> pl.DataFrame:
        """Every version of every registered row, sorted by key and known_at.

        Raises:
            UnreadableObjectError: an object is damaged; it is named.
        """
        shape = find_dataset(dataset)
        registered = self.objects(dataset, first, last)
        if source is not None:
            registered = registered.filter(pl.col("source") == source)
        prefix = len(self.store.location(""))
        keys = [path[prefix:] for path in registered["path"]]
        return objects.read(shape, self.store, keys).sort(*shape.key, "known_at")

    def as_of(
        self,
        dataset: str,
        at: datetime | None = None,
        clock: Clock = "known_at",
        first: date | None = None,
        last: date | None = None,
    ) -> pl.DataFrame:
        """The last version of each key whose clock does not exceed `at` (None: all known)."""
        return as_of_module.select(
            find_dataset(dataset), self.read(dataset, first, last), at, clock
        )

    def stored(
        self, source: str, dataset: Dataset, first: date, last: date
    ) -> dict[str, tuple[date, int]]:
        """Session and size of every object of the sessions, by key, registered or not."""
        days = (last - first).days + 1
        return self.stored_on(source, dataset, {first + timedelta(n) for n in range(days)})

    def stored_on(
        self, source: str, dataset: Dataset, days: set[date]
    ) -> dict[str, tuple[date, int]]:
        """The same of any days."""
        folders = (
            [paths.folder(source, dataset.name, day) for day in sorted(days)]
            if len(days) <= _LIST_BY_DAY
            else [paths.folder(source, dataset.name)]
        )
        found = {}
        for folder in folders:
            for name, size in self.store.list(folder):
                key = paths.parse(name)
                if key is not None and key.session in days:
                    found[name] = (key.session, size)
        return found
