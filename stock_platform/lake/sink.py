"""The dlt sink: what one load does to the lake. Difference, write, register.

One `Sink` per load. It knows nothing of dlt but that deliveries come as Parquet files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice

import polars as pl

from stock_platform.lake import frozen, objects, paths
from stock_platform.lake.catalog import NewObject
from stock_platform.lake.difference import ConflictError, difference
from stock_platform.lake.lake import Lake
from stock_platform.lake.schema import DATASETS, Dataset, dataset
from stock_platform.progress import Progress

_BATCH_ROWS = 100_000
_BATCH_OBJECTS = 2048
_ATTEMPTS = 3


@dataclass
class Counts:
    """What became of one dataset's rows."""

    received: int = 0
    written: int = 0
    unchanged: int = 0
    ignored: int = 0
    objects: int = 0


@dataclass
class Sink:
    """One load of one source at one moment.

    Attributes:
        stored: by dataset, the keys of all objects of the days touched so far, with their session.
    """

    lake: Lake
    source: str
    known_at: datetime
    progress: Progress | None = None
    counts: dict[str, Counts] = field(default_factory=lambda: {n: Counts() for n in DATASETS})
    by_session: list[pl.DataFrame] = field(default_factory=list)
    quarantined: int = 0
    adopted: int = 0
    stored: dict[str, dict[str, date]] = field(default_factory=lambda: {n: {} for n in DATASETS})
    _listed: dict[str, set[date]] = field(default_factory=lambda: {n: set() for n in DATASETS})
    _range: tuple[date, date] | None = None

    def adopt(self, first: date, last: date) -> None:
        """Register what a killed load of these days wrote and did not register."""
        for shape in DATASETS.values():
            found = self.lake.stored(self.source, shape, first, last)
            self.stored[shape.name].update({key: day for key, (day, _) in found.items()})
            self._register_missing(shape, found)
        self._range = (first, last)

    def receive(self, name: str, file: str) -> None:
        """Take one delivered Parquet file of a dataset: write what it teaches and register it.

        Raises:
            ContractError: a row breaks the frozen schema.
            ConflictError: it contradicts what the lake holds from the same time or later.
        """
        shape = dataset(name)
        scan = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        frozen.check_columns(shape, scan.collect_schema())
        self._check(shape, scan.filter(pl.col("session").is_null()).collect())
        per_day = scan.group_by("session").len().sort("session").collect()
        # All is checked before anything is written: a refused delivery leaves nothing behind.
        for low, high, _ in _batches(per_day):
            self._check(shape, _between(scan, low, high))
        written: list[NewObject] = []
        done = 0
        for low, high, days in _batches(per_day):
            rows = _between(scan, low, high).select(list(shape.columns))
            self.counts[name].received += rows.height
            written += self._write_news(shape, frozen.without_duplicates(shape, rows))
            done += days
            if self.progress:
                self.progress(name, done, per_day.height)
        self.counts[name].objects += len(written)
        self.lake.catalog.register(shape, written)

    def _check(self, shape: Dataset, rows: pl.DataFrame) -> None:
        frozen.check_rows(shape, rows, self.source, self.known_at)
        frozen.without_duplicates(shape, rows)

    def _write_news(self, shape: Dataset, rows: pl.DataFrame) -> list[NewObject]:
        written: list[NewObject] = []
        news_of_batch = []
        ignored = 0
        pending = rows
        for attempt in range(_ATTEMPTS):
            days = set(pending["session"].unique())
            self._list(shape, days, again=attempt > 0)
            held = self.stored[shape.name]
            before = objects.read(
                shape, self.lake.store, sorted(key for key, day in held.items() if day in days)
            )
            found = difference(shape, pending, before, self.known_at)
            created, taken = self._put(shape, found.news, set(held.values()) & days)
            written += created
            held.update({item.key: item.session for item in created})
            lost = pl.col("session").is_in(taken)
            news_of_batch.append(found.news.filter(~lost))
            ignored += found.ignored
            if not taken:
                break
            # Another load wrote these sessions meanwhile: compare with what it wrote.
            pending = pending.filter(lost)
        else:
            raise ConflictError(
                f"{shape.name}: another load of source {self.source!r} keeps writing the sessions"
                f" {min(taken)} to {max(taken)}; wait for it and run this one again"
            )
        self._count(shape, rows, pl.concat(news_of_batch), ignored)
        return written

    def _count(self, shape: Dataset, rows: pl.DataFrame, news: pl.DataFrame, ignored: int) -> None:
        counts = self.counts[shape.name]
        counts.ignored += ignored
        counts.written += news.height
        counts.unchanged += rows.height - news.height - ignored
        if "row_ref" in shape.columns:
            self.quarantined += rows.filter(pl.col("row_ref") != "").height
        self.by_session.append(
            rows.group_by("session")
            .agg(rows=pl.len())
            .join(news.group_by("session").agg(written=pl.len()), on="session", how="left")
            .select("session", pl.lit(shape.name).alias("dataset"), "rows", "written")
            .with_columns(pl.col("written").fill_null(0))
        )

    def _list(self, shape: Dataset, days: set[date], *, again: bool) -> None:
        """Know the objects of these days; those outside the load's range when a row brings them up,
        all of them again when another load turned out to be writing there too."""
        known = self._listed[shape.name]
        first, last = self._range or (date.max, date.min)
        new = days if again else {d for d in days - known if not first <= d <= last}
        if new:
            found = self.lake.stored_on(self.source, shape, new)
            self.stored[shape.name].update({key: where for key, (where, _) in found.items()})
            self._register_missing(shape, found)
        known |= new

    def _put(
        self, shape: Dataset, news: pl.DataFrame, occupied: set[date]
    ) -> tuple[list[NewObject], set[date]]:
        """Write one object per session; also the sessions whose name was taken meanwhile."""
        if news.is_empty():
            return [], set()
        rows = dict(news.group_by("session").len().iter_rows())
        created: list[NewObject] = []
        taken: set[date] = set()
        encoded = objects.encode(shape, news)
        while batch := list(islice(encoded, _BATCH_OBJECTS)):
            items = []
            for day, data in batch:
                key = (
                    paths.revision_object(self.source, shape.name, day, self.known_at)
                    if day in occupied
                    else paths.first_object(self.source, shape.name, day)
                )
                items.append((key, data, NewObject(key, day, rows[day], len(data))))
            existed = set(self.lake.store.put_new([(key, data) for key, data, _ in items]))
            created += [item for key, _, item in items if key not in existed]
            taken |= {item.session for key, _, item in items if key in existed}
        return created, taken

    def _register_missing(self, shape: Dataset, found: dict[str, tuple[date, int]]) -> None:
        store = self.lake.store
        self.adopted += self.lake.catalog.register(
            shape,
            [
                NewObject(key, found[key][0], objects.row_count(store, key), found[key][1])
                for key in self.lake.catalog.missing(shape, found)
            ],
        )


def _between(scan: pl.LazyFrame, low: date, high: date) -> pl.DataFrame:
    return scan.filter(pl.col("session").is_between(low, high)).collect()


def _batches(per_day: pl.DataFrame) -> Iterator[tuple[date, date, int]]:
    """First and last session of consecutive batches of about `_BATCH_ROWS`, and their days."""
    first: date | None = None
    rows = days = 0
    for session, length in per_day.iter_rows():
        first = first or session
        rows, days = rows + length, days + 1
        if rows >= _BATCH_ROWS:
            yield first, session, days
            first, rows, days = None, 0, 0
    if first is not None:
        yield first, per_day["session"][-1], days
