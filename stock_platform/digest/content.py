"""What the digest of a week says, read from the warehouse. How it looks is render.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from stock_platform.digest import queries
from stock_platform.errors import PlatformError
from stock_platform.ml.pools import POOLS
from stock_platform.pages import scores, words

MOST = 20
"""Rows of a table: a longer one is not read in a mail."""
WIDER = 1.25
"""Change of the interval's width from which it counts as news."""


@dataclass(frozen=True)
class Incidents:
    """Something that happened to the data in the week.

    Attributes:
        title: what.
        rows: symbol, session, what; at most MOST.
        total: how many there were.
    """

    title: str
    rows: pl.DataFrame
    total: int


@dataclass(frozen=True)
class Digest:
    """The week's forecasts, what changed, how past ones did, and what happened to the data.

    Attributes:
        source: the active source.
        week: Monday of the origins' week.
        origin: last origin session of it; target: last target session.
        kind, backtest_name: the record the forecasts belong to.
        forecasts: one row per instrument, see queries.FORECASTS; with `p_up_before` and
            `width_before` of the week before, null where there was none.
        champions: sentences about who speaks.
        decisions: pool, action, model, challenger, actor, reason of the week's decisions.
        news: sentences about what changed since the week before.
        matured: forecasts whose target lay in the week, see queries.MATURED.
        record: sentences about the record.
        incidents: kinds of them, those without any left out.
    """

    source: str
    week: date
    origin: date
    target: date
    kind: str
    backtest_name: str
    forecasts: pl.DataFrame
    champions: list[str]
    decisions: list[str]
    news: list[str]
    matured: pl.DataFrame
    record: list[str]
    incidents: list[Incidents]


def newest_week(client: Any, source: str) -> date | None:
    """Monday of the newest week with a forecast; None before the first."""
    rows = client.query(queries.NEWEST_WEEK, parameters={"source": source}).result_rows
    week: date | None = rows[0][0]
    return week


def read_digest(client: Any, source: str, week: date | None = None) -> Digest:
    """The digest of a week (any day of it), by default of the newest with a forecast.

    Raises:
        PlatformError: nothing was forecast in it.
    """
    week = week or newest_week(client, source)
    if week is None:
        raise PlatformError(f"nothing has been forecast from {source} yet: `make run` does")
    week -= timedelta(days=week.weekday())

    known: dict[str, Any] = {"source": source, "week": week}

    def ask(sql: str, **more: Any) -> pl.DataFrame:
        found = client.query_arrow(sql, parameters=known | more, settings=_ARROW)
        return pl.DataFrame(pl.from_arrow(found))

    record = ask(queries.RECORD)
    if record.is_empty():
        raise PlatformError(
            f"nothing was forecast from {source} in the week of {week}: materialize `forecasts` of "
            "that week, or leave the week out for the newest"
        )
    known |= record.row(0, named=True)
    now = ask(queries.FORECASTS)
    before = ask(queries.FORECASTS, week=week - timedelta(weeks=1))
    forecasts = now.join(
        before.select("instrument_id", p_up_before="p_up", width_before="width"),
        on="instrument_id",
        how="left",
    )
    champions = ask(queries.CHAMPIONS)
    origin: date = now["origin"].max()  # type: ignore[assignment]
    matured, weekly = ask(queries.MATURED), ask(queries.WEEKLY)
    return Digest(
        source=source,
        week=week,
        origin=origin,
        target=now["target"].max(),  # type: ignore[arg-type]
        kind=known["kind"],
        backtest_name=known["name"],
        forecasts=forecasts,
        champions=[_champion(row) for row in champions.rows(named=True)],
        decisions=[_decision(row) for row in ask(queries.DECISIONS).rows(named=True)],
        news=_news(forecasts, before, ask(queries.EXPECTED, last=origin, classes=list(POOLS))),
        matured=matured,
        record=_record(matured, weekly, words.record_name(known["kind"], known["name"])),
        incidents=[
            Incidents(title, found.head(MOST), found.height)
            for title, sql in INCIDENTS.items()
            if (found := ask(sql, last=origin)).height
        ],
    )


INCIDENTS = {
    "Sessions without a bar": queries.ABSENT,
    "Delivered rows that were not used": queries.QUARANTINED,
    "Figures a provider restated": queries.REVISED,
    "Unusual bars, a reason to look": queries.UNUSUAL,
    "Splits and payments": queries.ACTIONS,
}
_ARROW = {
    "output_format_arrow_date_as_uint16": "0",
    "output_format_arrow_low_cardinality_as_dictionary": "0",
}


def _champion(row: dict[str, Any]) -> str:
    told = f"{row['pool']}: {row['model']}, version {row['version']}."
    return f"{told} {words.champion(row['model'], row['pool'])}".strip()


def _decision(row: dict[str, Any]) -> str:
    what = words.ACTIONS.get(row["action"], row["action"])
    who = row["challenger"] or row["model"]
    return f"{row['pool']}: {who} {what} by {row['actor']}: {row['reason']}."


def _news(forecasts: pl.DataFrame, before: pl.DataFrame, expected: pl.DataFrame) -> list[str]:
    """Who is not forecast, anew or no longer; whose interval became much wider or narrower."""
    told = []
    silent = expected.filter(~_in(forecasts))["symbol"].to_list()
    if silent:
        told.append(
            f"Not forecast: {_some(silent)}. The week's page of the asset `forecasts` says why."
        )
    if before.is_empty():
        return [*told, "There was no forecast in the week before."]
    new = forecasts.filter(pl.col("p_up_before").is_null())["symbol"].to_list()
    gone = before.filter(~_in(forecasts))["symbol"].to_list()
    if new:
        told.append(f"Forecast anew: {_some(new)}.")
    if gone:
        told.append(f"No longer forecast: {_some(gone)}.")
    change = pl.col("width") / pl.col("width_before")
    moved = forecasts.with_columns(change=change).drop_nulls("change").sort("change", "symbol")
    changed = {
        "wider": moved.filter(pl.col("change") >= WIDER).reverse(),
        "narrower": moved.filter(pl.col("change") <= 1 / WIDER),
    }
    for name, found in changed.items():
        if found.height:
            some = [
                f"{row['symbol']} ({words.percent(row['change'] - 1, 0, sign=True)})"
                for row in found.rows(named=True)
            ]
            told.append(f"80 % interval much {name} than a week ago: {_some(some)}.")
    if not any(found.height for found in changed.values()):
        told.append(f"No 80 % interval changed its width by {words.percent(WIDER - 1, 0)}.")
    return told


def _in(forecasts: pl.DataFrame) -> pl.Expr:
    return pl.col("instrument_id").is_in(forecasts["instrument_id"].implode())


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST])
    return shown if len(names) <= MOST else f"{shown} and {len(names) - MOST} more"


def _record(matured: pl.DataFrame, weekly: pl.DataFrame, what: str) -> list[str]:
    told = []
    if matured.height:
        inside = [
            f"{int(matured[f'is_inside_{level}'].sum())} inside the {level} % interval"
            for level in (50, 80, 95)
        ]
        told.append(
            f"Forecasts that reached their target in this week: {matured.height}, of which"
            f" {', '.join(inside)}."
        )
    else:
        told.append("No forecast reached its target in this week.")
    told.append(words.skill(scores.skill(weekly), what))
    year = weekly.tail(52)
    if year.height < weekly.height:
        told.append(words.skill(scores.skill(year), "the last 52 weeks"))
    return told
