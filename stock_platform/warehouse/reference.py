"""The warehouse tables that Python writes for dbt: lake objects, instruments, sessions.

Each describes the present state of the lake or the active source, so each is replaced whole, in
one swap, and only when its content changed. What dbt makes of them is `dbt/models`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from stock_platform import calendars
from stock_platform.lake.schema import DATASETS

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.lake.lake import Lake
    from stock_platform.sources.base import Source

SESSIONS_AHEAD = 30
"""Sessions past the source's last one, so that targets of its last forecasts have a date."""

_UTC = pl.Datetime("us", "UTC")
_TEXT, _CATEGORY, _MOMENT = "String", "LowCardinality(String)", "DateTime64(6, 'UTC')"


@dataclass(frozen=True)
class ReferenceTable:
    """A table: columns (name -> ClickHouse and polars type), the key it is sorted by, a comment."""

    name: str
    columns: dict[str, tuple[str, pl.DataType]]
    key: tuple[str, ...]
    comment: str

    @property
    def polars_schema(self) -> dict[str, pl.DataType]:
        """Polars types by column."""
        return {name: kind for name, (_, kind) in self.columns.items()}

    def ddl(self, name: str) -> str:
        """CREATE TABLE under another name."""
        columns = ", ".join(f"{column} {kind}" for column, (kind, _) in self.columns.items())
        return (
            f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree "
            f"ORDER BY ({', '.join(self.key)}) COMMENT '{self.comment}'"
        )


LAKE_OBJECTS = ReferenceTable(
    "lake_objects",
    {
        "dataset": (_CATEGORY, pl.String()),
        "path": (_TEXT, pl.String()),
        "source": (_CATEGORY, pl.String()),
        "session": ("Date", pl.Date()),
        "rows": ("UInt64", pl.UInt64()),
        "bytes": ("UInt64", pl.UInt64()),
    },
    ("dataset", "path"),
    "Objects registered in the catalog of the lake, of all sources",
)
REFERENCE_INSTRUMENTS = ReferenceTable(
    "reference_instruments",
    {
        "instrument_id": (_CATEGORY, pl.String()),
        "symbol": (_CATEGORY, pl.String()),
        "name": (_TEXT, pl.String()),
        "asset_class": (_CATEGORY, pl.String()),
        "calendar": (_CATEGORY, pl.String()),
        "currency": (_CATEGORY, pl.String()),
        "sector": (_CATEGORY, pl.String()),
        "first_session": ("Date", pl.Date()),
        "last_session": ("Nullable(Date)", pl.Date()),
        "source": (_CATEGORY, pl.String()),
    },
    ("instrument_id",),
    "Instruments of the active source",
)
REFERENCE_SESSIONS = ReferenceTable(
    "reference_sessions",
    {
        "calendar": (_CATEGORY, pl.String()),
        "session": ("Date", pl.Date()),
        "session_number": ("Int32", pl.Int32()),
        "open_at": (_MOMENT, _UTC),
        "close_at": (_MOMENT, _UTC),
        "days_ahead": ("UInt8", pl.UInt8()),
    },
    ("calendar", "session"),
    "Sessions of the calendars in use",
)


def sync(client: Client, lake: Lake, source: Source) -> dict[str, int]:
    """Bring the three tables up to date with the lake and with `source`, the active one.

    A table whose content did not change is not touched. Another is replaced by one EXCHANGE:
    readers see the old rows or the new, and a kill leaves one or the other.

    Returns:
        Rows by table name.

    Raises:
        CalendarError: an instrument's calendar is unknown or ends too early.
    """
    contents = [
        (LAKE_OBJECTS, _lake_objects(lake)),
        (REFERENCE_INSTRUMENTS, _instruments(source)),
        (REFERENCE_SESSIONS, _sessions(source)),
    ]
    for table, rows in contents:
        _replace(client, table, rows)
    return {table.name: rows.height for table, rows in contents}


def _lake_objects(lake: Lake) -> pl.DataFrame:
    frames = [
        lake.objects(dataset).with_columns(pl.lit(dataset).alias("dataset")) for dataset in DATASETS
    ]
    return _typed(LAKE_OBJECTS, pl.concat(frames))


def _instruments(source: Source) -> pl.DataFrame:
    fields = [name for name in REFERENCE_INSTRUMENTS.columns if name != "source"]
    rows = [
        {**{name: getattr(instrument, name) for name in fields}, "source": source.name}
        for instrument in source.instruments()
    ]
    schema = REFERENCE_INSTRUMENTS.polars_schema
    return _typed(REFERENCE_INSTRUMENTS, pl.DataFrame(rows, schema=schema))


def _sessions(source: Source) -> pl.DataFrame:
    """From the source's first session to SESSIONS_AHEAD after its last, of every calendar in use.

    The source's last session is its "now", so the table is the same on whichever day it is made.
    """
    first, last = source.span()
    tables = []
    for calendar in sorted({instrument.calendar for instrument in source.instruments()}):
        start, end = calendars.bounds(calendar)
        table = calendars.session_table(calendar, max(first, start), end)
        until = table.filter(pl.col("session") <= last).height + SESSIONS_AHEAD
        tables.append(table.head(until))
    return _typed(REFERENCE_SESSIONS, pl.concat(tables))


def _typed(table: ReferenceTable, frame: pl.DataFrame) -> pl.DataFrame:
    columns = [pl.col(name).cast(kind) for name, kind in table.polars_schema.items()]
    return frame.select(columns).sort(table.key)


def _replace(client: Client, table: ReferenceTable, rows: pl.DataFrame) -> None:
    exists = str(client.command(f"EXISTS TABLE {table.name}")) == "1"
    if exists and _stored(client, table).equals(rows):
        return
    side = f"{table.name}__new"
    client.command(f"DROP TABLE IF EXISTS {side}")
    client.command(table.ddl(side))
    if rows.height:
        client.insert_arrow(side, rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
    if exists:
        client.command(f"EXCHANGE TABLES {side} AND {table.name}")
        client.command(f"DROP TABLE {side}")
    else:
        client.command(f"RENAME TABLE {side} TO {table.name}")


def _stored(client: Client, table: ReferenceTable) -> pl.DataFrame:
    """What the table holds; without a column of ours it differs, and is replaced."""
    order = ", ".join(table.key)
    found = client.query_arrow(f"SELECT * FROM {table.name} ORDER BY {order}")  # noqa: S608
    frame = pl.DataFrame(pl.from_arrow(found))
    if frame.columns != list(table.columns):
        return pl.DataFrame()
    return _typed(table, frame)
