"""The frozen schema at the door: what a delivered row must be before the lake takes it.

dlt's contract already refuses a new column and a changed type while it extracts; this also sees
what dlt does not: nulls, values outside their vocabulary, and a delivery of another source.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake.schema import ASSUMED, FINAL, OBSERVED, PROVISIONAL, Dataset

_VOCABULARY = {"finality": (PROVISIONAL, FINAL), "availability": (ASSUMED, OBSERVED)}


class ContractError(PlatformError):
    """A delivery breaks the frozen schema; the message names dataset, column and mend."""


def unknown_column(dataset: str, column: str) -> ContractError:
    """The error of a column the schema does not have."""
    return ContractError(
        f"{dataset}: column {column!r} is not in the frozen schema (stock_platform/lake/schema.py):"
        " drop or rename it in the source"
    )


def wrong_type(dataset: str, column: str, found: object, frozen: object) -> ContractError:
    """The error of a column of another type."""
    return ContractError(
        f"{dataset}: column {column!r} arrived as {found} and is frozen as {frozen}:"
        " cast it in the source"
    )


def check_columns(dataset: Dataset, schema: Mapping[str, pl.DataType]) -> None:
    """Refuse a frame whose columns or types differ from the dataset's.

    Raises:
        ContractError: names the first column that differs.
    """
    for name, kind in schema.items():
        if name not in dataset.columns:
            raise unknown_column(dataset.name, name)
        if kind != dataset.columns[name]:
            raise wrong_type(dataset.name, name, kind, dataset.columns[name])
    for name in dataset.columns:
        if name not in schema:
            raise ContractError(
                f"{dataset.name}: column {name!r} is missing: the source must deliver every column"
                " of stock_platform/lake/schema.py"
            )


def check_rows(dataset: Dataset, rows: pl.DataFrame, source: str, known_at: datetime) -> None:
    """Refuse rows the lake could not answer for later.

    Raises:
        ContractError: names dataset, column, the first such row and the mend.
    """
    for name in dataset.columns:
        _refuse(dataset, rows, pl.col(name).is_null(), name, "is empty: quarantine such rows")
    for name in dataset.measured:
        _refuse(dataset, rows, ~pl.col(name).is_finite(), name, "is no finite number")
    for name, words in _VOCABULARY.items():
        _refuse(dataset, rows, ~pl.col(name).is_in(words), name, f"must be {' or '.join(words)}")
    _refuse(dataset, rows, pl.col("source") != source, "source", f"must be {source!r}")
    _refuse(
        dataset, rows, pl.col("known_at") != known_at, "known_at", f"must be {known_at.isoformat()}"
    )
    _refuse(
        dataset,
        rows,
        pl.col("available_at") > pl.col("known_at"),
        "available_at",
        "is after known_at: what we know is available",
    )


def without_duplicates(dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, identical ones once.

    Raises:
        ContractError: two rows of one delivery share a key and differ.
    """
    if not rows.select(dataset.key).is_duplicated().any():
        return rows
    said = ["finality", *dataset.measured, *dataset.stated]
    once = rows.unique([*dataset.key, *said], keep="first", maintain_order=True)
    _refuse(
        dataset,
        once,
        pl.struct(dataset.key).is_duplicated(),
        " + ".join(dataset.key),
        "comes twice with different values: keep one and quarantine the other",
    )
    return once


def _refuse(dataset: Dataset, rows: pl.DataFrame, bad: pl.Expr, column: str, rule: str) -> None:
    offending = rows.filter(bad)
    if offending.is_empty():
        return
    row = offending.row(0, named=True)
    key = ", ".join(f"{name}={row[name]}" for name in dataset.key)
    value = f" {row[column]!r}" if column in row and row[column] is not None else ""
    raise ContractError(
        f"{dataset.name}: column {column!r}{value} {rule}"
        f" (first of {offending.height} rows: {key}); mend it in the source"
    )
