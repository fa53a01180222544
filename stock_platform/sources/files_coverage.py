"""Coverage of the `files` source: rejected rows, and a reason for every bar that is not there.

What lives here turns what was loaded into rows of the `coverage` dataset. What does not: deciding
that a row is bad (`files_rows.py`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from stock_platform.sources import reasons
from stock_platform.sources.files_load import Loaded


def coverage(
    loaded: Loaded,
    expected: pl.DataFrame,
    lag: timedelta,
    known_at: datetime,
    *,
    span: tuple[date, date],
    between: tuple[date, date],
    with_stray: bool,
) -> pl.DataFrame:
    """The rows of `coverage` for the sessions in `between`, without source and known_at.

    Args:
        loaded: the folder.
        expected: from `base.expected`.
        lag: a bar is due this long after its session's close.
        known_at: the moment of the fetch.
        span: first and last session of the source.
        between: first and last session wanted.
        with_stray: also the rejected rows that belong to no session of the span.
    """
    rejected = _rejected(loaded, span, known_at).filter(
        pl.when("stray").then(with_stray).otherwise(pl.col("session").is_between(*between))
    )
    due = pl.col("close_at") + lag
    begun = expected.filter(pl.col("open_at") <= known_at)
    absent = reasons.absent(
        begun.join(rejected, on=reasons.KEY, how="anti"),
        loaded.bars,
        due,
        known_at,
        "the files have no row for this session",
    ).with_columns(pl.lit(loaded.digest).alias("payload_digest"))
    return pl.concat([absent.drop("calendar", "open_at", "close_at"), rejected], how="diagonal")


def _rejected(loaded: Loaded, span: tuple[date, date], known_at: datetime) -> pl.DataFrame:
    """Quarantined rows; one without usable date or symbol stands under its file's last change.

    `stray` marks those that belong to no session of the span, which no range of it would deliver.
    """
    far = loaded.rejected.head(0)
    for frame in (loaded.bars, loaded.actions):
        future = frame.filter(pl.col("open_at") > known_at).select(
            "file",
            "row",
            "instrument_id",
            "symbol",
            pl.lit(None, pl.Date).alias("session"),
            pl.lit("date").alias("field"),
            pl.col("session").cast(pl.String).alias("value"),
            pl.format("lies in the future: the session opens at {}", "open_at").alias("detail"),
        )
        far = pl.concat([far, future])
    arrived = pl.min_horizontal("arrived", pl.lit(known_at.date()))
    return (
        pl.concat([loaded.rejected, far])
        .join(loaded.files, on="file")
        .with_columns(
            ~pl.col("session").is_between(*span).fill_null(False).alias("stray"),
            pl.col("session").fill_null(arrived),
            pl.lit("rejected").alias("reason"),
            pl.lit(loaded.currency).alias("currency"),
            pl.format("{}:{}", "name", "row").alias("row_ref"),
            *reasons.noticed(known_at),
            pl.col("digest").alias("payload_digest"),
        )
    )
