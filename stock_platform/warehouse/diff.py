"""Two states of a mart compared row by row on its key, in SQL, in pieces that fit into memory.

What differs is first written to a table of its own, then summarised. Why a row differs is decided
in `diff_reasons.py`; how a state of the past comes about, in `beside.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stock_platform.errors import PlatformError
from stock_platform.warehouse.beside import State, own
from stock_platform.warehouse.client import DATABASE
from stock_platform.warehouse.diff_reasons import Reasons
from stock_platform.warehouse.diff_rows import Compared, Pair, sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.progress import Progress
    from stock_platform.warehouse.manifest import Mart

SIDES = ("only_left", "only_right", "changed")


@dataclass(frozen=True)
class Column:
    """How a column differs over the changed rows.

    Attributes:
        largest_change: largest absolute difference of a number, in the column's unit; else None.
        largest_relative_change: the same divided by the left value; None where that is 0.
    """

    name: str
    rows: int
    largest_change: float | None
    largest_relative_change: float | None


@dataclass(frozen=True)
class Difference:
    """What two states of a mart differ in.

    Attributes:
        reasons: side (SIDES) -> reason -> rows.
        columns: those with changes, most changed first.
        columns_only_left: of a mart whose columns were others then; they are not compared.
        examples: rows: side, reason, key {column: value} and changes {column: [left, right]}.
    """

    mart: str
    left: State
    right: State
    rows_left: int
    rows_right: int
    reasons: dict[str, dict[str, int]]
    columns: list[Column]
    columns_only_left: list[str]
    columns_only_right: list[str]
    examples: list[dict[str, Any]]

    @property
    def same(self) -> bool:
        """Whether both sides have the same columns and rows."""
        return not (any(self.reasons.values()) or self.columns_only_left or self.columns_only_right)

    def count(self, side: str) -> int:
        """Rows of a side."""
        return sum(self.reasons[side].values())

    @property
    def rows_equal(self) -> int:
        """Rows that are on both sides with the same values."""
        return self.rows_left - self.count("only_left") - self.count("changed")


def compare(
    client: Client,
    mart: Mart,
    left: State,
    right: State,
    *,
    source: str,
    limit: int = 3,
    progress: Progress | None = None,
) -> Difference:
    """Compare the mart in two databases.

    Actions of `source` are looked at for reasons; `limit` examples are given of each side and
    reason; `progress` is called as (step, rows compared, rows).

    Raises:
        PlatformError: one of them lacks the mart, or it has no key there.
    """
    types = [_columns(client, mart, state) for state in (left, right)]
    shared = [name for name in types[0] if name in types[1]]
    if missing := [name for name in mart.key if name not in shared]:
        raise PlatformError(f"{mart.name} lacks its key column {missing[0]} on one side")
    pair = Pair(
        left=f"{left.database}.{mart.name}",
        right=f"{right.database}.{mart.name}",
        key={name: types[0][name] for name in mart.key},
        values=[Compared(n, types[0][n], types[1][n]) for n in shared if n not in mart.key],
    )
    with _scratch(client) as scratch:
        changes = f"{scratch}.changes"
        pair.write(client, changes, progress)
        explained = f"{scratch}.explained"
        reasons = Reasons(client, scratch, mart, pair, left, right, source)
        reasons.explain(changes, explained, progress)
        (rows,) = client.query(sql().count_rows(pair)).result_rows
        return Difference(
            mart=mart.name,
            left=left,
            right=right,
            rows_left=rows[0],
            rows_right=rows[1],
            reasons=_reasons(client, explained),
            columns=_changed_columns(client, explained, pair),
            columns_only_left=[name for name in types[0] if name not in types[1]],
            columns_only_right=[name for name in types[1] if name not in types[0]],
            examples=_examples(client, explained, pair, limit),
        )


def _columns(client: Client, mart: Mart, state: State) -> dict[str, str]:
    """Type by name, in order."""
    found = client.query(
        "SELECT name, type FROM system.columns WHERE database = {database:String}"
        " AND table = {table:String} ORDER BY position",
        parameters={"database": state.database, "table": mart.name},
    ).result_rows
    if not found:
        raise PlatformError(
            f"database {state.database} holds no {mart.name} (`stock-platform run` builds the"
            f" present one, in {DATABASE})"
        )
    return {str(name): str(kind) for name, kind in found}


@contextmanager
def _scratch(client: Client) -> Iterator[str]:
    name = own(f"{DATABASE}_diff")
    client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
    try:
        yield name
    finally:
        client.command(f"DROP DATABASE {name}")


def _reasons(client: Client, explained: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {side: {} for side in SIDES}
    for side, reason, rows in client.query(sql().count_reasons(explained)).result_rows:
        found[side][reason] = rows
    return found


def _changed_columns(client: Client, explained: str, pair: Pair) -> list[Column]:
    if not pair.values:
        return []
    (answer,) = client.query(sql().count_columns(explained, pair)).result_rows
    columns = [
        Column(column.name, *answer[3 * place : 3 * place + 3])
        for place, column in enumerate(pair.values)
    ]
    return sorted((one for one in columns if one.rows), key=lambda one: -one.rows)


def _examples(client: Client, explained: str, pair: Pair, limit: int) -> list[dict[str, Any]]:
    rows = client.query(sql().choose_examples(explained, pair, limit)).result_rows
    return [
        {
            "side": side,
            "reason": reason,
            "key": dict(zip(pair.key, values, strict=True)),
            "changes": {name: [before, after] for name, before, after in changes if name},
        }
        for side, reason, values, changes in rows
    ]
