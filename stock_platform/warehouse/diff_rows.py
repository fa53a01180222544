"""The rows in which two tables differ, by their key, written to a third.

One statement per piece, in `diff.sql`; nothing passes through Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.progress import Progress

PIECE_ROWS = 2_000_000
"""Rows of both sides together that are joined at once: a few hundred MB."""


@cache
def sql() -> Any:
    """The macros of `diff.sql`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - SQL
    return environment.from_string(Path(__file__).with_name("diff.sql").read_text()).module


@dataclass(frozen=True)
class Compared:
    """A column that both tables have, with its ClickHouse type on each side."""

    name: str
    left: str
    right: str

    @property
    def comparable(self) -> bool:
        """Whether values are compared as they are; else as text."""
        return plain(self.left) == plain(self.right)

    @property
    def is_float(self) -> bool:
        """Whether both are floats, which may be NaN."""
        return plain(self.left).startswith("Float") and plain(self.right).startswith("Float")

    @property
    def is_number(self) -> bool:
        """Whether differences are numbers."""
        kinds = ("Float", "Int", "UInt", "Decimal")
        return plain(self.left).startswith(kinds) and plain(self.right).startswith(kinds)


@dataclass(frozen=True)
class Pair:
    """Two tables of the same key: the left and the right one, the key's types, other columns."""

    left: str
    right: str
    key: dict[str, str]
    values: list[Compared]

    def write(self, client: Client, table: str, progress: Progress | None = None) -> None:
        """Create `table` with a row for every key that is on one side only or differs."""
        client.command(sql().create_changes(table, self))
        by = "instrument_id" if "instrument_id" in self.key else next(iter(self.key))
        insert = sql().insert_changes(table, self, by, plain(self.key[by]))
        counts = client.query(sql().rows_by(self, by)).result_rows
        total, done = sum(rows for _, rows in counts), 0
        for first, last, rows in _pieces(counts):
            if progress is not None:
                progress("rows compared", done, total)
            client.command(insert, parameters={"first": first, "last": last})
            done += rows
        if progress is not None:
            progress("rows compared", done, total)


def _pieces(counts: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, Any, int]]:
    """First and last value, and rows, of ranges of values; `counts` are their rows in order."""
    first, waiting = None, 0
    for place, (value, rows) in enumerate(counts):
        first, waiting = first if waiting else value, waiting + rows
        if waiting >= PIECE_ROWS or place == len(counts) - 1:
            yield first, value, waiting
            waiting = 0


def plain(kind: str) -> str:
    """A type without LowCardinality and Nullable."""
    for wrapping in ("LowCardinality(", "Nullable("):
        if kind.startswith(wrapping):
            kind = kind.removeprefix(wrapping).removesuffix(")")
    return kind
