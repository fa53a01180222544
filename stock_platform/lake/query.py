"""Ad-hoc SQL on the lake: DuckDB with one view per dataset, through the catalog, offline.

The warehouse (ClickHouse) is for marts; this is for looking at the raw truth, every version of it.
"""

from __future__ import annotations

import re
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from stock_platform.errors import PlatformError
from stock_platform.lake import as_of
from stock_platform.lake.as_of import Clock
from stock_platform.lake.lake import Lake
from stock_platform.lake.schema import DATASETS

if TYPE_CHECKING:
    import duckdb

    from stock_platform.settings import Settings


class QueryError(PlatformError):
    """The SQL failed; the message is DuckDB's, with the tables there are."""


# DuckDB would fetch a missing extension from the internet; ours come with the environment.
OFFLINE = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Configuration a connection is opened with."""


def connect(
    lake: Lake, settings: Settings, *, at: datetime | None = None, clock: Clock | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with a view per dataset, which reaches no file outside the lake.

    Arguments as of `register`. Inside the lake it could write: `query` refuses that.
    """
    import duckdb

    connection = duckdb.connect(config=dict(OFFLINE))
    register(connection, lake, settings, at=at, clock=clock)
    connection.execute(f"SET allowed_directories = ['{_quoted(lake.root)}/']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def register(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    settings: Settings,
    *,
    at: datetime | None = None,
    clock: Clock | None = None,
) -> None:
    """Give a connection (opened with OFFLINE) a view per dataset, named like it.

    Without `at` a view shows every version of every row, with it each row as of then by `clock`
    (`known_at` when None).
    """
    connection.execute("SET TimeZone = 'UTC'")
    remote = lake.root.startswith("s3://")
    # The order matters: iceberg needs avro.
    for extension in ("avro", *(("httpfs",) if remote else ()), "iceberg"):
        connection.execute(f"LOAD '{_extension(extension)}'")
    if remote:
        connection.execute(_secret(settings))
    for dataset in DATASETS.values():
        table = f"iceberg_scan('{_quoted(lake.catalog.metadata_location(dataset))}')"
        if at is not None:
            rendered = as_of.render(table, dataset.key, as_of.timestamp(at), clock or "known_at")
            table = f"({rendered})"
        connection.execute(f"CREATE VIEW {dataset.name} AS FROM {table}")


def query(
    lake: Lake,
    settings: Settings,
    sql: str,
    *,
    at: datetime | None = None,
    clock: Clock | None = None,
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows of a statement that reads; of several, the last one's.

    Raises:
        QueryError: DuckDB refused it, or it does more than read.
    """
    import duckdb

    with connect(lake, settings, at=at, clock=clock) as connection:
        try:
            statements = connection.extract_statements(sql)
            if not statements:
                raise QueryError("there is no statement in it: try SELECT * FROM equity_prices")
            if not all(_only_reads(connection, statement) for statement in statements):
                raise QueryError(
                    "`lake` only reads: SELECT, FROM, WITH, PIVOT, DESCRIBE, SUMMARIZE, SHOW or "
                    "EXPLAIN (save an answer with --format and a redirection)"
                )
            answer = connection.execute(sql)
            return [column[0] for column in answer.description], answer.fetchall()
        except duckdb.Error as error:
            raise QueryError(f"{error} (tables: {', '.join(DATASETS)})") from error


_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(\s*\([^()]*\))?\s", re.IGNORECASE)


def _only_reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    import duckdb

    if statement.type == duckdb.StatementType.EXPLAIN:
        # ANALYZE executes what it explains, and DuckDB does not tell its type.
        explained = connection.extract_statements(_EXPLAIN.sub("", statement.query, count=1))
        return [each.type for each in explained] == [duckdb.StatementType.SELECT]
    if statement.type == duckdb.StatementType.CREATE:
        return not statement.query  # DuckDB's own, the column names of a PIVOT
    return statement.type == duckdb.StatementType.SELECT


def _extension(name: str) -> str:
    folders = list((files(f"duckdb_extension_{name}") / "extensions").iterdir())
    return str(folders[0] / f"{name}.duckdb_extension")


def _secret(settings: Settings) -> str:
    options = {
        "TYPE": "s3",
        "REGION": f"'{_quoted(settings.s3_region)}'",
        "KEY_ID": f"'{_quoted(settings.s3_access_key_id)}'",
        "SECRET": f"'{_quoted(settings.s3_secret_access_key.get_secret_value())}'",
    }
    if settings.s3_endpoint_url:
        scheme, _, host = settings.s3_endpoint_url.partition("://")
        options["ENDPOINT"] = f"'{_quoted(host.rstrip('/'))}'"
        options["USE_SSL"] = "true" if scheme == "https" else "false"
        options["URL_STYLE"] = "'path'"
    return f"CREATE SECRET ({', '.join(f'{name} {value}' for name, value in options.items())})"


def _quoted(text: str) -> str:
    return text.replace("'", "''")
