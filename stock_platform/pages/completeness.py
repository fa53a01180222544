"""Which expected sessions of an instrument have no bar, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from stock_platform.lake.coverage import UNEXPLAINED


@dataclass(frozen=True)
class Coverage:
    """How complete a history is.

    Attributes:
        expected: number of sessions that should have a bar.
        missing: session, reason, detail of those without one; the newest first.
        months: year, month, expected, missing.
        quarantined: session, row_ref, reason, field, value, detail of delivered rows not used.
    """

    expected: int
    missing: pl.DataFrame
    months: pl.DataFrame
    quarantined: pl.DataFrame


def coverage(expected: pl.Series, bars: pl.Series, reasons: pl.DataFrame) -> Coverage:
    """Compare the expected sessions with the bars.

    Args:
        expected: sessions that should have a bar.
        bars: sessions that have one.
        reasons: session, row_ref, reason, field, value, detail; row_ref '' explains an absence.
    """
    sessions = pl.DataFrame({"session": expected}).with_columns(
        absent=~pl.col("session").is_in(bars.implode())
    )
    explained = reasons.filter(pl.col("row_ref") == "").select("session", "reason", "detail")
    missing = (
        sessions.filter("absent")
        .select("session")
        .join(explained, on="session", how="left")
        .with_columns(pl.col("reason").fill_null(UNEXPLAINED), pl.col("detail").fill_null(""))
        .sort("session", descending=True)
    )
    months = (
        sessions.group_by(
            year=pl.col("session").dt.year(), month=pl.col("session").dt.month().cast(pl.Int32)
        )
        .agg(expected=pl.len(), missing=pl.col("absent").sum())
        .sort("year", "month")
    )
    quarantined = reasons.filter(pl.col("row_ref") != "")
    return Coverage(sessions.height, missing, months, quarantined)
