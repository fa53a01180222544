"""What the bytes of an object are: one session's rows as Parquet, in key order.

Encoding is deterministic: the same rows give the same bytes. Whether rows are news is decided in
`difference.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake.schema import Dataset
from stock_platform.lake.store import THREADS, ObjectStore

if TYPE_CHECKING:
    import pyarrow as pa


ENCODERS = 2
"""Threads that encode; more gain little, as a third of the work holds Python's lock."""


class UnreadableObjectError(PlatformError):
    """An object of the lake can't be read as what it should be."""


def encode(dataset: Dataset, rows: pl.DataFrame) -> Iterator[tuple[date, bytes]]:
    """One Parquet file per session of `rows`, in order of session.

    Arrow's writer with Snappy takes a third of polars' time for a hundred rows, and threads of it
    run beside each other.
    """
    ordered = rows.select(list(dataset.columns)).sort("session", *dataset.key)
    sessions = ordered["session"].unique(maintain_order=True)
    starts = ordered["session"].rle().struct.field("len").cum_sum().to_list()
    table = ordered.to_arrow(compat_level=pl.CompatLevel.oldest()).combine_chunks()
    repeated = [name for name, kind in dataset.columns.items() if kind != pl.Float64()]
    parts = [
        table.slice(start, end - start) for start, end in zip([0, *starts], starts, strict=False)
    ]
    with ThreadPoolExecutor(ENCODERS) as pool:
        yield from zip(
            sessions, pool.map(lambda part: _parquet(part, repeated), parts), strict=True
        )


def _parquet(table: pa.Table, dictionary_columns: list[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="snappy",
        use_dictionary=dictionary_columns,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read(dataset: Dataset, store: ObjectStore, keys: Sequence[str]) -> pl.DataFrame:
    """All rows of the objects.

    Raises:
        UnreadableObjectError: one is not Parquet or has other columns; it is named, and left alone.
    """
    if not keys:
        return dataset.empty()
    if len(keys) == 1:
        return _read_one(dataset, store, keys[0])
    try:
        scan = pl.scan_parquet(
            [store.location(key) for key in keys],
            storage_options=store.polars_options(),
            schema=dataset.polars_schema,
            glob=False,
            hive_partitioning=False,
        )
        return scan.select(list(dataset.columns)).collect()
    except (pl.exceptions.PolarsError, OSError):
        # One by one: the error of the scan does not always say which object it was.
        with ThreadPoolExecutor(THREADS) as pool:
            return pl.concat(pool.map(lambda key: _read_one(dataset, store, key), keys))


def row_count(store: ObjectStore, key: str) -> int:
    """Rows of one object, from its footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(pa.BufferReader(store.get(key))).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(store, key, error) from error


def _read_one(dataset: Dataset, store: ObjectStore, key: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(store.get(key))
        found = dict(frame.schema)
        if found != dataset.columns:
            raise _unreadable(store, key, f"its columns are {found}")
        return frame.select(list(dataset.columns))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(store, key, error) from error


def _unreadable(store: ObjectStore, key: str, why: object) -> UnreadableObjectError:
    return UnreadableObjectError(
        f"{store.location(key)} belongs to the lake but can't be read: {str(why).splitlines()[0]}"
        " (restore it from a backup, or move it out of the lake and load its session again;"
        " nothing was changed)"
    )
