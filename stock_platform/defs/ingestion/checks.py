"""Checks of the lake itself, run by DuckDB over the catalog: a second reader of the files."""

import dagster as dg

from stock_platform.defs.ingestion.raw import SOURCES
from stock_platform.defs.resources import LakeDuckDB
from stock_platform.lake.schema import DATASETS


def _unique_versions(source: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["raw", source]),
        name="one_row_per_key_and_known_at",
        blocking=True,
        description="No row of the lake is catalogued twice (a path added twice doubles its rows).",
    )
    def check(duckdb: LakeDuckDB) -> dg.AssetCheckResult:
        doubled = {}
        with duckdb.get_connection() as connection:
            for name, dataset in DATASETS.items():
                key = ", ".join((*dataset.key, "known_at"))
                row = connection.execute(
                    f"SELECT count(*) FROM (SELECT 1 FROM {name} WHERE source = ?"  # noqa: S608
                    f" GROUP BY {key} HAVING count(*) > 1)",
                    [source],
                ).fetchone()
                doubled[name] = row[0] if row else 0
        return dg.AssetCheckResult(passed=not any(doubled.values()), metadata=doubled)

    return check


lake_checks = [_unique_versions(source) for source in SOURCES]
