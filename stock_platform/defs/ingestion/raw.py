"""`raw/<source>`: what a source says of each day, written once to the lake and catalogued.

Wiring only: fetching is in `stock_platform/sources`, comparing and writing in
`stock_platform/lake`.
"""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from stock_platform.defs.resources import PlatformResource
from stock_platform.lake.schema import DATASETS
from stock_platform.partitions import daily
from stock_platform.progress import reporter
from stock_platform.sources import names

SOURCES = names()


def lake_table_key(dataset: str) -> dg.AssetKey:
    """Asset key of a dataset's catalog table."""
    return dg.AssetKey(["lake", dataset])


lake_tables = [
    dg.AssetSpec(
        lake_table_key(dataset),
        deps=[dg.AssetKey(["raw", source]) for source in SOURCES],
        group_name="lake",
        kinds={"iceberg", "parquet"},
        owners=["team:data-platform"],
        description=f"Iceberg table of `{dataset}` over all sources: every version of every row, "
        "registered by the load that wrote it. Read it with `stock-platform lake`.",
    )
    for dataset in DATASETS
]


def raw_asset(source_name: str) -> dg.AssetsDefinition:
    """The daily-partitioned asset of one source; a range of days is one load."""

    @dg.asset(
        key=["raw", source_name],
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="ingestion",
        kinds={"dlt", "parquet"},
        owners=["team:data-platform"],
        pool=f"source_{source_name}",
        description=f"Daily bars, corporate actions and coverage from `{source_name}`, as traded, "
        "in write-once objects `raw/<source>/<dataset>/yyyy/mm/dd/`. "
        "Running a day again adds only what the source says differently.",
    )
    def raw(context: dg.AssetExecutionContext, platform: PlatformResource) -> None:
        from stock_platform.lake.ingest import load
        from stock_platform.sources.base import clock

        keys = context.partition_keys
        source = platform.source(source_name)
        first, last = source.span()
        first = max(first, date.fromisoformat(min(keys)))
        last = min(last, date.fromisoformat(max(keys)))
        if first > last:
            span = " to ".join(day.isoformat() for day in source.span())
            outside = {"reason": f"outside the source's span {span}"}
            for key in keys:
                context.add_asset_metadata(outside, partition_key=key)
            return
        lake = platform.lake()
        with reporter(f"raw/{source_name}") as progress:
            report = load(source, lake, first, last, settings=platform.settings, progress=progress)
        for note in source.notes():
            context.log.warning(note)
        sessions = clock(source.instruments(), first, last)["session"]
        _describe_partitions(
            context, keys, report.by_session, {day.isoformat() for day in sessions}
        )
        context.add_asset_metadata(
            {
                "rows_received": report.rows_received,
                "rows_written": report.rows_written,
                "rows_unchanged": report.rows_unchanged,
                "rows_ignored": report.rows_ignored,
                "rows_quarantined": report.quarantined,
                "objects_written": report.objects_written,
                "objects_adopted": report.adopted_objects,
                "known_at": report.known_at.isoformat(),
            }
        )
        for dataset, snapshot in lake.snapshot_ids().items():
            objects = lake.objects(dataset)
            context.log_event(
                dg.AssetMaterialization(
                    lake_table_key(dataset),
                    metadata={
                        "dagster/row_count": int(objects["rows"].sum()),
                        "objects": objects.height,
                        "snapshot_id": str(snapshot),
                    },
                )
            )

    return raw


def _describe_partitions(
    context: dg.AssetExecutionContext,
    keys: list[str] | Any,
    by_session: pl.DataFrame,
    sessions: set[str],
) -> None:
    rows: dict[str, dict[str, int]] = {}
    for session, dataset, count in by_session.select("session", "dataset", "rows").iter_rows():
        rows.setdefault(session.isoformat(), {})[f"rows_{dataset}"] = count
    for key in keys:
        reason = "nothing to fetch: all of it is in the lake" if key in sessions else "no session"
        context.add_asset_metadata(rows.get(key, {"reason": reason}), partition_key=key)


raw_assets = [raw_asset(source) for source in SOURCES]
