"""Tables of the warehouse that dbt reads and Python writes: instruments, sessions, lake objects."""

from collections.abc import Iterator

import dagster as dg

from stock_platform.defs.resources import PlatformResource

_TABLES = {
    "lake_objects": "Every object of the lake with its row count: what staging has to read.",
    "reference_instruments": "Instruments of the active source, as its universe describes them.",
    "reference_sessions": "Sessions of every calendar in use, numbered, with open and close (UTC).",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            table,
            deps=["session_coverage"],  # which blocks them when a provider was down
            group_name="staging",
            kinds={"clickhouse"},
            owners=["team:data-platform"],
            description=description,
        )
        for table, description in _TABLES.items()
    ],
    pool="dbt",
)
def warehouse_reference(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Bring the three tables up to date; an unchanged one is left untouched."""
    from stock_platform.ml.ledger import create_tables
    from stock_platform.warehouse.reference import sync

    with platform.warehouse(context.run_id) as client:
        create_tables(client)  # the accuracy marts read the ledger, also before its first row
        counts = sync(client, platform.lake(), platform.source())
    for table in _TABLES:
        yield dg.MaterializeResult(asset_key=table, metadata={"dagster/row_count": counts[table]})
