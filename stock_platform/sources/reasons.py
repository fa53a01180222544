"""Rows of `coverage` that sources make alike: what is absent, what was refused, and why.

What lives here turns a judgement into columns. What does not: the judgement, which is each
source's, and which sessions are expected (`base.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from stock_platform.lake import schema
from stock_platform.sources import base
from stock_platform.sources.fetching import RATE_LIMITED

KEY = ("instrument_id", "session")


def outage(kind: str, detail: str) -> dict[str, str]:
    """The columns that say that the provider gave no usable answer (`lake.coverage.OUTAGE`).

    Args:
        kind: of `fetching.KINDS`.
        detail: a sentence for people.
    """
    reason = "rate_limited" if kind == RATE_LIMITED else "provider_missing"
    return {
        "reason": reason,
        "row_ref": "",
        "field": "response",
        "value": kind,
        "detail": detail,
    }


def absent(
    expected: pl.DataFrame, arrived: pl.DataFrame, due: pl.Expr, known_at: datetime, missing: str
) -> pl.DataFrame:
    """Every expected bar that did not arrive, or that may still change, with the reason.

    Args:
        expected: from `base.expected`; the sessions that have begun and nothing else explains.
        arrived: instrument_id and session of the bars there are.
        due: when a bar is due; session close + publication lag.
        known_at: the moment of the fetch.
        missing: what is said of a bar that is due and not there.

    Returns:
        The columns of `coverage` but source, known_at and payload_digest, and those of `expected`.
    """
    early = due > known_at
    return (
        expected.join(arrived.select(*KEY, there=pl.lit(True)), on=KEY, how="left")
        .filter(pl.col("there").is_null() | early)
        .drop("there")
        .with_columns(
            pl.when(early)
            .then(pl.lit("not_yet_final"))
            .otherwise(pl.lit("provider_missing"))
            .alias("reason"),
            *[pl.lit("").alias(name) for name in ("row_ref", "field", "value")],
            pl.when(early)
            .then(pl.lit("the session is not over, or its bar not yet due"))
            .otherwise(pl.lit(missing))
            .alias("detail"),
            base.finality(due, known_at),
            *base.availability(due, known_at),
        )
    )


def first_fault(faults: Sequence[tuple[str, pl.Expr, str]]) -> list[pl.Expr]:
    """The columns `field`, `value` and `detail` of the first fault of a row, null where it is good.

    Args:
        faults: field (a column), whether it is bad (null: it can't be told, so it is), and what is
            wrong; in the order of the search.
    """
    cases = [
        (pl.when(bad.fill_null(True)), pl.col(field).cast(pl.String).fill_null(""), field, detail)
        for field, bad, detail in faults
    ]
    return [
        pl.coalesce([when.then(pl.lit(field)) for when, _, field, _ in cases]).alias("field"),
        pl.coalesce([when.then(value) for when, value, _, _ in cases]).alias("value"),
        pl.coalesce([when.then(pl.lit(detail)) for when, _, _, detail in cases]).alias("detail"),
    ]


def noticed(known_at: datetime) -> list[pl.Expr]:
    """The columns `finality`, `available_at` and `availability` of a quarantined row.

    It is our own observation, made now, whatever the row's session.
    """
    return [
        pl.lit(schema.FINAL).alias("finality"),
        pl.lit(known_at).alias("available_at"),
        pl.lit(schema.OBSERVED).alias("availability"),
    ]
