"""What a load learns: the received rows that say something the lake does not know yet.

Pure functions over frames; reading and writing objects is the sink's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake import as_of
from stock_platform.lake.schema import FINAL, OBSERVED, PROVISIONAL, Dataset

TOLERANCE = 1e-5
"""Relative: re-basing a provider's prices rounds floats, and a rounding is not a revision."""


class ConflictError(PlatformError):
    """A load contradicts what the lake already holds from its own time or a later one."""


@dataclass(frozen=True)
class Difference:
    """What to write, and what became of the rest.

    Attributes:
        news: rows to write: first versions and revisions.
        unchanged: received rows that say what the lake knows.
        ignored: provisional rows of a key that is final already: final never goes back.
    """

    news: pl.DataFrame
    unchanged: int
    ignored: int


def difference(
    dataset: Dataset, received: pl.DataFrame, stored: pl.DataFrame, known_at: datetime
) -> Difference:
    """Compare received rows with all stored versions of the same sessions.

    A row is a revision when a measured column moved by more than `TOLERANCE`, a stated one differs,
    or a provisional row became final. A revision was available when we learned it, so its
    `available_at` becomes `known_at`. `received` has one row per key, all of `known_at`; `stored`
    every version of (at least) their sessions.

    Raises:
        ConflictError: a received row differs while the lake holds a version of the same or a later
            known_at: writing it would change what was known since.
    """
    key = list(dataset.key)
    if stored.is_empty():
        return Difference(received, 0, 0)
    current = as_of.select(dataset, stored, known_at)
    # A version from after this load (another writer, or a clock that went back) stands in where
    # there is none from before: equal is no news, different is a conflict.
    later = stored.filter(pl.col("known_at") > known_at)
    first_later = later.sort("known_at").unique(key, keep="first", maintain_order=True)
    known = pl.concat([current, first_later.join(current, on=key, how="anti")])
    compared = [*dataset.measured, *dataset.stated, "finality", "known_at"]
    joined = received.join(
        known.select(*key, *(pl.col(name).alias(f"known_{name}") for name in compared)),
        on=key,
        how="left",
    ).join(later.select(key).unique().with_columns(overtaken=True), on=key, how="left")

    before = pl.col("known_finality")
    first = before.is_null()
    ignored = (before == FINAL) & (pl.col("finality") == PROVISIONAL)
    finalised = (before == PROVISIONAL) & (pl.col("finality") == FINAL)
    judged = joined.with_columns(
        first=first,
        ignored=(ignored & ~first).fill_null(False),
        revised=(~first & ~ignored & (finalised | ~_same(dataset))).fill_null(False),
    )
    revisions = judged.filter("revised")
    clash = revisions.filter(
        (pl.col("known_known_at") >= known_at) | pl.col("overtaken").fill_null(False)
    )
    if not clash.is_empty():
        raise _conflict(dataset, clash, known_at)
    news = pl.concat(
        [
            judged.filter("first").select(received.columns),
            revisions.with_columns(
                available_at=pl.col("known_at"), availability=pl.lit(OBSERVED)
            ).select(received.columns),
        ]
    )
    ignored_rows = int(judged["ignored"].sum())
    return Difference(news, received.height - news.height - ignored_rows, ignored_rows)


def _same(dataset: Dataset) -> pl.Expr:
    close = [
        (pl.col(name) - pl.col(f"known_{name}")).abs()
        <= TOLERANCE * pl.max_horizontal(pl.col(name).abs(), pl.col(f"known_{name}").abs())
        for name in dataset.measured
    ]
    equal = [pl.col(name) == pl.col(f"known_{name}") for name in dataset.stated]
    return pl.all_horizontal(*close, *equal)


def _conflict(dataset: Dataset, clash: pl.DataFrame, known_at: datetime) -> ConflictError:
    row = clash.sort(dataset.key).row(0, named=True)
    what = ", ".join(f"{name} {row[name]}" for name in dataset.key)
    changed = ", ".join(
        f"{name} {row[f'known_{name}']} -> {row[name]}"
        for name in (*dataset.measured, *dataset.stated, "finality")
        if row[f"known_{name}"] != row[name]
    )
    return ConflictError(
        f"{dataset.name}: this load is of {known_at.isoformat()}, but the lake already holds a"
        f" different version from {row['known_known_at'].isoformat()} or later of {what}"
        f" ({changed}; {clash.height} such rows). Nothing of it was overwritten. Load again with"
        " the present time; if that fails too, this machine's clock is behind: set it right"
    )
