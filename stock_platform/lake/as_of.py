"""Reading as of a moment, on DuckDB, through the one macro `dbt/macros/as_of.sql`.

No rule of "as of" is written here: dbt renders the same file for ClickHouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake.schema import Dataset
from stock_platform.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import duckdb

Clock = Literal["known_at", "available_at"]
CLOCKS: tuple[Clock, ...] = ("known_at", "available_at")
MACRO = PROJECT_ROOT / "dbt" / "macros" / "as_of.sql"


def render(
    relation: str, key: Sequence[str], at: str | None = None, clock: str = "known_at"
) -> str:
    """The SELECT that reads `relation` as of `at` (an SQL expression; None: all that is known)."""
    return str(_module().as_of(relation, list(key), at, clock)).strip()


@cache
def _module() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - SQL
    return environment.from_string(MACRO.read_text()).module


def timestamp(at: datetime) -> str:
    """`at` as a DuckDB literal.

    Raises:
        PlatformError: it carries no time zone.
    """
    if at.tzinfo is None:
        raise PlatformError(f"{at.isoformat()} has no time zone: write {at.isoformat()}+00:00")
    return f"TIMESTAMPTZ '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    """One engine per process: opening one costs more than most questions asked of it."""
    import duckdb

    return duckdb.connect()


def select(
    dataset: Dataset, versions: pl.DataFrame, at: datetime | None, clock: Clock = "known_at"
) -> pl.DataFrame:
    """The last version of each key by `at`, sorted by key.

    `versions` are rows of the dataset, any number per key; `at` None means all that is known.
    """
    if clock not in CLOCKS:
        raise PlatformError(f"no clock {clock!r}: it is {' or '.join(CLOCKS)}")
    query = render("versions", dataset.key, None if at is None else timestamp(at), clock)
    with _engine().cursor() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("versions", versions.to_arrow())
        answer = connection.execute(f"FROM ({query})").pl()
    return answer.select(pl.col(name).cast(kind) for name, kind in dataset.columns.items()).sort(
        dataset.key
    )
