"""Everything a platform holds, as comparable values: every lake object and every table's rows."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl

from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support.platform import Platform

CLOCKS = (
    "known_at",
    "actual_known_at",
    "available_at",
    "issued_at",
    "decided_at",
    "updated_at",
    "lake_snapshot_ids",
    "object_path",
    "path",
    "actor",
)
"""Columns that tell when, where or in which run: two homes differ in them, one home must not."""


def lake_objects(platform: Platform) -> dict[str, str]:
    """Path below the lake -> digest of the bytes, for every raw object."""
    root = Path(platform.settings.lake_root)
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "raw").rglob("*.parquet"))
    }


def digests(platform: Platform) -> dict[str, str]:
    """Name -> digest of the bytes, for every file of the weekly digest."""
    return {
        path.name: sha256(path.read_bytes()).hexdigest()
        for path in sorted((platform.home / "digests").iterdir())
    }


def lake_rows(platform: Platform) -> dict[str, pl.DataFrame]:
    """Dataset -> rows over all objects without the clocks, sorted."""
    root = Path(platform.settings.lake_root) / "raw"
    found: dict[str, list[pl.DataFrame]] = {}
    for path in root.rglob("*.parquet"):
        dataset = path.relative_to(root).parts[1]
        found.setdefault(dataset, []).append(pl.read_parquet(path).drop(CLOCKS, strict=False))
    return {
        dataset: (rows := pl.concat(frames)).sort(rows.columns) for dataset, frames in found.items()
    }


def tables(platform: Platform, clocks: bool = True) -> dict[str, tuple[int, int]]:
    """Table -> (rows, order-independent digest), of every table and view of the warehouse."""
    with ensure_running(platform.settings):
        client = connect(platform.settings)
        try:
            names = [
                row[0]
                for row in client.query(
                    "SELECT name FROM system.tables WHERE database = 'market'"
                    " AND name NOT LIKE '%\\_as\\_of' ORDER BY name"
                ).result_rows
            ]
            return {name: _digest(client, name, clocks) for name in names}
        finally:
            client.close()


def _digest(client: Any, table: str, clocks: bool) -> tuple[int, int]:
    columns = [
        row[0]
        for row in client.query(
            "SELECT name FROM system.columns WHERE database = 'market' AND table = {t:String}"
            " ORDER BY position",
            parameters={"t": table},
        ).result_rows
        if clocks or row[0] not in CLOCKS
    ]
    values = ", ".join(f"ifNull(toString({name}), 'NULL')" for name in columns)
    rows, digest = client.query(
        f"SELECT count(), sum(cityHash64({values})) FROM market.{table}"
    ).result_rows[0]
    return int(rows), int(digest)
