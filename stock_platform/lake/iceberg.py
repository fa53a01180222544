"""A dataset in Iceberg's words: its schema, the entry of one object, and finding entries again.

Pure translation; the tables and their commits are `catalog.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.lake.schema import Dataset

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

_EPOCH = date(1970, 1, 1)


def schema_of(dataset: Dataset) -> Schema:
    """The dataset's columns as an Iceberg schema; none required, so that one can be added."""
    from pyiceberg import schema
    from pyiceberg.types import DateType, DoubleType, NestedField, StringType, TimestamptzType

    kinds = {
        pl.String(): StringType(),
        pl.Date(): DateType(),
        pl.Float64(): DoubleType(),
        pl.Datetime("us", "UTC"): TimestamptzType(),
    }
    return schema.Schema(
        *(
            NestedField(number, name, kinds[kind], required=False)
            for number, (name, kind) in enumerate(dataset.columns.items(), start=1)
        )
    )


def data_file(table: Table, uri: str, day: date, rows: int, size: int) -> DataFile:
    """What the manifest says of an object of `rows` rows and `size` bytes.

    Built from what the writer knows: reading 5,000 footers back, as pyiceberg's `add_files` does,
    takes longer than writing the objects.
    """
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record

    number = (day - _EPOCH).days
    session = table.schema().find_field("session").field_id
    bound = {session: struct.pack("<i", number)}
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=uri,
        file_format=FileFormat.PARQUET,
        partition=Record(number),
        record_count=rows,
        file_size_in_bytes=size,
        lower_bounds=bound,
        upper_bounds=bound,
        spec_id=table.spec().spec_id,
        sort_order_id=None,
        equality_ids=None,
        key_metadata=None,
    )


def entries(table: Table, first: date, last: date) -> Iterator[DataFile]:
    """Entries of the present snapshot, from manifests that may hold sessions of the range."""
    snapshot = table.current_snapshot()
    if snapshot is None:
        return
    low, high = (first - _EPOCH).days, (last - _EPOCH).days
    for manifest in snapshot.manifests(table.io):
        if _overlaps(manifest, low, high):
            for entry in manifest.fetch_manifest_entry(table.io):
                yield entry.data_file


def _overlaps(manifest: ManifestFile, low: int, high: int) -> bool:
    summary = manifest.partitions[0] if manifest.partitions else None
    if summary is None or summary.lower_bound is None or summary.upper_bound is None:
        return True
    return bool(
        struct.unpack("<i", summary.lower_bound)[0] <= high
        and struct.unpack("<i", summary.upper_bound)[0] >= low
    )
