"""Coverage of the `files` source: rejected rows, and a reason for every bar that is not there.

What lives here turns what was loaded into rows of the `coverage` dataset. What does not: deciding
that a row is bad (`files_rows.py`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from stock_platform.sources import reasons
from stock_platform.sources.files_load import Loaded
from stock_platform.sources.files_rows import REJECT_SCHEMA


def coverage(
    loaded: Loaded,
    expected: pl.DataFrame,
    lag: timedelta,
    known_at: datetime,
    *,
    span: tuple[date, date],
    between: tuple[date, date],
) -> pl.DataFrame:
    """The rows of `coverage` for the sessions in `between`, without source and known_at.

    Args:
        loaded: the folder.
        expected: from `base.expected`.
        lag: a bar is due this long after its session's close.
        known_at: the moment of the fetch.
        span: first and last session of the source.
        between: first and last session wanted.
    """
    # A row of no session of the span comes with the span's last one, so that it comes once.
    wanted = pl.when("stray").then(pl.lit(span[1])).otherwise(pl.col("session"))
    rejected = _rejected(loaded, span, known_at).filter(wanted.is_between(*between)).drop("stray")
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


def missed(loaded: Loaded) -> pl.DataFrame:
    """Session and open_at of the rejected bars whose instrument was expected to have one then."""
    lives = pl.DataFrame(
        [(i.instrument_id, i.first_session, i.last_session) for i in loaded.instruments],
        schema={"instrument_id": pl.String, "begins": pl.Date, "ends": pl.Date},
        orient="row",
    )
    session, ends = pl.col("session"), pl.col("ends")
    return (
        loaded.rejected_bars.filter(pl.col("open_at").is_not_null())
        .join(lives, on="instrument_id")
        .filter(session >= pl.col("begins"), ends.is_null() | (session <= ends))
        .select("session", "open_at")
    )


def quarantined(loaded: Loaded, known_at: datetime) -> pl.DataFrame:
    """Every row that is kept out (`files_rows.REJECT_SCHEMA`), also those of days to come."""
    found = [loaded.rejected_bars, loaded.rejected_actions]
    for frame in (loaded.bars, loaded.actions):
        future = frame.filter(pl.col("open_at") > known_at).with_columns(
            pl.lit(None, pl.Date).alias("session"),
            pl.lit("date").alias("field"),
            pl.col("session").cast(pl.String).alias("value"),
            pl.format("lies in the future: the session opens at {}", "open_at").alias("detail"),
        )
        found.append(future.select(REJECT_SCHEMA.names()))
    return pl.concat(found)


def _rejected(loaded: Loaded, span: tuple[date, date], known_at: datetime) -> pl.DataFrame:
    """Quarantined rows, each under its session; without a usable one under its ingest date.

    `stray` are those that belong to no session of the span.
    """
    arrived = pl.min_horizontal("arrived", pl.lit(known_at.date()))
    return (
        quarantined(loaded, known_at)
        .drop("open_at")
        .join(loaded.files, on="file")
        .with_columns(
            (~pl.col("session").is_between(*span)).fill_null(True).alias("stray"),
            pl.col("session").fill_null(arrived),
            pl.lit("rejected").alias("reason"),
            pl.lit(loaded.currency).alias("currency"),
            pl.format("{}:{}", "name", "row").alias("row_ref"),
            *reasons.noticed(known_at),
            pl.col("digest").alias("payload_digest"),
        )
    )
