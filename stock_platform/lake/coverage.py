"""What became of every session an instrument was expected to have: a final bar, or the reason.

What lives here reads the lake, by DuckDB through the catalog, and judges it. What does not: which
sessions are expected (`sources/base.py`) and why one has no bar (each source says so itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.lake import as_of, query
from stock_platform.lake.schema import CORPORATE_ACTIONS, COVERAGE, DATASETS

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake
    from stock_platform.settings import Settings

FINAL, UNEXPLAINED = "final", "unexplained"
NEWEST_SESSIONS = 10
"""An outage of one evening is looked for in so many of the newest sessions, one by one: among years
of history it would vanish."""

LEAST_INSTRUMENTS = 3
"""With so many or more on a calendar, what most of them lack is told from a gap of one's own."""

PRICED = tuple(
    dataset for dataset in DATASETS.values() if dataset not in (CORPORATE_ACTIONS, COVERAGE)
)
"""The datasets whose rows are what a session is expected to bring."""

OUTAGE = "reason = 'rate_limited' OR (reason = 'provider_missing' AND field = 'response')"
"""The provider gave no usable answer, or the end of one, as opposed to one that lacks the bar."""


@dataclass(frozen=True)
class Outage:
    """The worst of what is missing because the provider gave no usable answer.

    Attributes:
        share: of the expected bars, in all that was loaded or in one of the newest sessions.
        where: which of the two it was.
        examples: symbol, session and detail of a few of the bars concerned.
    """

    share: float
    where: str
    examples: list[str]


def states(
    lake: Lake, settings: Settings, source: str, expected: pl.DataFrame, *, live: bool = True
) -> pl.DataFrame:
    """The state of every expected (instrument, session) that a load of `source` has spoken of.

    A session counts as spoken of when a row of the source has it, for any instrument of the same
    calendar: loading single days is allowed and says nothing of the others. One that had not opened
    at the last load isn't expected yet.

    Args:
        lake: where they would be.
        settings: of the same lake.
        source: whose rows count.
        expected: instrument_id, symbol, calendar, session, open_at, ... of `sources.base.expected`.
        live: the source asks a provider, who may answer with what he had days ago.

    Returns:
        The columns of `expected` plus state (`final`, a reason of `coverage`, or `unexplained`),
        is_outage (bool) and detail; sorted by instrument_id and session.
    """
    columns = "instrument_id, session, finality, known_at"
    bars = " UNION ALL ".join(
        f"SELECT {columns} FROM ({_now(dataset.name, dataset.key)})"  # noqa: S608
        for dataset in PRICED
    )
    sql = f"""
        WITH bars AS ({bars}),
        reasons AS (
            -- A reason for the expected bar (row_ref '') comes before that of a quarantined row.
            SELECT DISTINCT ON (instrument_id, session)
                instrument_id, session, reason, detail, known_at,
                coalesce({OUTAGE}, false) AS is_outage
            FROM ({_now("coverage", COVERAGE.key)})
            ORDER BY instrument_id, session, row_ref
        ),
        told AS (
            SELECT instrument_id, session, known_at FROM bars
            UNION ALL SELECT instrument_id, session, known_at FROM reasons
        ),
        spoken AS (SELECT DISTINCT calendar, session FROM expected SEMI JOIN told
            USING (instrument_id, session))
        SELECT
            expected.*,
            CASE
                WHEN bars.finality = 'final' THEN '{FINAL}'
                WHEN reasons.reason IS NOT NULL THEN reasons.reason
                ELSE '{UNEXPLAINED}'
            END AS state,
            coalesce(bars.finality IS DISTINCT FROM 'final' AND reasons.is_outage, false)
                AS is_outage,
            CASE WHEN bars.finality = 'final' THEN '' ELSE coalesce(reasons.detail, '') END
                AS detail
        FROM expected
        LEFT JOIN bars USING (instrument_id, session)
        LEFT JOIN reasons USING (instrument_id, session)
        WHERE (calendar, session) IN (FROM spoken)
            AND open_at <= (SELECT max(known_at) FROM told)
        ORDER BY instrument_id, session
    """  # noqa: S608 - names of our own; the source is bound
    with query.connect(lake, settings) as connection:
        connection.register("expected", expected.to_arrow())
        connection.execute("CREATE TEMP TABLE chosen AS SELECT ? AS source", [source])
        answer = connection.execute(sql).pl()
    found = answer.with_columns(pl.col("session").cast(pl.Date))
    return with_stale(found) if live else found


def with_stale(found: pl.DataFrame) -> pl.DataFrame:
    """Count as an outage what most instruments of a calendar lack together.

    These are the sessions after the last one of which most have a final bar, and any two or more in
    a row. A single one with bars after it is a day on which the exchange was closed against its
    calendar; that is `calendars_check`'s.
    """
    due = found.filter(pl.col("state") != "not_yet_final")
    lacking = pl.col("state") == "provider_missing"
    days = (
        due.group_by("calendar", "session")
        .agg(lacking.sum().alias("lacking"), pl.len().alias("listed"))
        .filter(pl.col("listed") >= LEAST_INSTRUMENTS)
        .sort("calendar", "session")
        .with_columns((pl.col("lacking") * 2 > pl.col("listed")).alias("most"))
        .with_columns(pl.col("most").rle_id().over("calendar").alias("run"))
        .with_columns(
            pl.len().over("calendar", "run").alias("in_a_row"),
            (pl.col("run") == pl.col("run").max()).over("calendar").alias("newest"),
        )
        .filter("most", (pl.col("in_a_row") > 1) | pl.col("newest"))
        .select("calendar", "session", stale=pl.lit(True))
    )
    stale = pl.col("stale").fill_null(False) & lacking
    joined = found.join(days, on=["calendar", "session"], how="left", maintain_order="left")
    told = pl.col("detail") + " (nor for most others: its answers are stale)"
    return joined.with_columns(
        pl.col("is_outage") | stale,
        pl.when(stale & ~pl.col("is_outage")).then(told).otherwise("detail").alias("detail"),
    ).drop("stale")


def _now(dataset: str, key: tuple[str, ...]) -> str:
    """The dataset's rows of the chosen source as known now."""
    versions = f"(SELECT * FROM {dataset} WHERE source = (SELECT source FROM chosen))"  # noqa: S608
    return as_of.render(versions, key)


def seen(lake: Lake, settings: Settings, source: str) -> pl.DataFrame:
    """instrument_id, session of every bar the source ever gave, on whichever day.

    Also of those quarantined because their calendar is closed (`field` is `session`): together they
    are what a calendar is checked against.
    """
    columns = "SELECT instrument_id, session FROM"
    told = [f"{columns} {dataset.name} WHERE source = $1" for dataset in PRICED]
    told.append(f"{columns} coverage WHERE source = $1 AND row_ref != '' AND field = 'session'")
    with query.connect(lake, settings) as connection:
        answer = connection.execute(" UNION ".join(told), [source]).pl()
    return answer.with_columns(pl.col("session").cast(pl.Date))


def summary(found: pl.DataFrame) -> pl.DataFrame:
    """state, sessions: how often each state occurs, the commonest first."""
    return (
        found.group_by("state")
        .agg(sessions=pl.len())
        .sort(["sessions", "state"], descending=[True, False])
    )


def outage(found: pl.DataFrame) -> Outage:
    """The worst outage in `found`: over all of it, and in each of the newest sessions."""
    if found.is_empty():
        return Outage(0.0, "nothing was loaded", [])
    whole = float(found["is_outage"].mean() or 0.0)  # type: ignore[arg-type]
    by_session = (
        found.group_by("session")
        .agg(pl.col("is_outage").mean())
        .sort("session")
        .tail(NEWEST_SESSIONS)
    )
    worst = by_session.sort("is_outage", "session").row(-1)
    share, where = max((whole, "all that was loaded"), (float(worst[1]), f"session {worst[0]}"))
    missing = found.filter("is_outage").sort("session", descending=True)
    examples = [
        f"{symbol} {session}: {detail}"
        for symbol, session, detail in missing.unique("symbol", keep="first", maintain_order=True)
        .head(5)
        .select("symbol", "session", "detail")
        .iter_rows()
    ]
    return Outage(share, where, examples)
