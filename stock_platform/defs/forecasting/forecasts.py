"""`forecasts`: the champion's week-ahead distribution of every instrument, into the ledger.

Wiring only: the forecast and the ledger are in `stock_platform/ml`.
"""

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from stock_platform.defs.pictures import picture, table
from stock_platform.defs.resources import PlatformResource
from stock_platform.errors import PlatformError
from stock_platform.partitions import weekly
from stock_platform.progress import reporter

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.ml.forecasting import ForecastReport


MOST_PANELS = 12
"""Instruments in the picture: those with the largest turnover."""
MOST_ROWS = 200
_CENSUS = "ledger_census"
ACCEPT_LOSS_TAG = "stock_platform/accept_ledger_loss"
"""Run tag; with the value `yes` the run goes on with a ledger that lost rows."""


@dg.asset(
    partitions_def=weekly,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[
        "promotions",
        "int_features_as_of",
        "int_bars_as_of",
        "fct_features_daily",
        "reference_sessions",
    ],
    group_name="forecasting",
    kinds={"clickhouse"},
    owners=["team:forecasting"],
    pool="ledger",
    description="Append-only ledger: one row per instrument, origin, horizon (1 to 5 sessions) and "
    "role (the champion as of its week, and the random walk it is measured against). "
    "The partition is the Monday of the origin's week; the same inputs add no row. Issued again "
    "after a promotion or rollback, a week holds both champions' rows: this page shows the one "
    "that speaks now, scores count the first issued.",
)
def forecasts(
    context: dg.AssetExecutionContext,
    platform: PlatformResource,
) -> None:
    """Forecast the selected weeks."""
    from stock_platform.ml.forecasting import forecast_weeks
    from stock_platform.ml.ledger import census
    from stock_platform.ml.panel_reader import PanelReader
    from stock_platform.ml.registry import Registry

    weeks = [date.fromisoformat(key) for key in context.partition_keys]
    source = platform.source()
    with platform.warehouse(context.run_id) as client, reporter("forecasts") as progress:
        lost = _check_untouched(context, client)
        now = datetime.now(UTC)
        past = PanelReader.from_warehouse(client)
        # What is forecast before the next session opens is live, from what we knew; the rest is
        # a backtest, from what the world could know.
        live = [week for week in weeks if source.live and past.is_pending(week, now)]
        reports = [
            forecast_weeks(
                client,
                Registry(platform.settings),
                reader,
                source.name,
                chosen,
                kind=kind,
                snapshot_ids=platform.lake().snapshot_ids(),
                instruments=source.instruments(),
                progress=progress,
            )
            for kind, reader, chosen in (
                ("backtest", past, [week for week in weeks if week not in live]),
                ("live", PanelReader.from_warehouse(client, "known_at", now), live),
            )
            if chosen
        ]
        fan = _fan(client, [report.forecasts for report in reports if report.forecasts.height])
        until = datetime.now(UTC)
        held = census(client, until)
    for report in reports:
        for week in report.by_week:
            context.add_asset_metadata(_week(report, week), partition_key=week.isoformat())
    left = dg.MetadataValue.json({"until": until.isoformat(), **asdict(held)})
    added = sum(report.rows_added for report in reports)
    context.add_asset_metadata({"rows_added": added, _CENSUS: left})
    if lost:
        context.add_asset_metadata({"accepted_loss": lost})
    # A picture is large and a range has hundreds of partitions: the newest one carries it.
    context.add_asset_metadata(fan, partition_key=max(context.partition_keys))


def _check_untouched(context: dg.AssetExecutionContext, client: "Client") -> str | None:
    """Compare the ledger with what the newest run of this asset left in it.

    Returns:
        What was removed or altered since, when the run was told to accept it.

    Raises:
        PlatformError: it was not.
    """
    from stock_platform.ml.ledger import Census, check_append_only

    event = context.instance.get_latest_materialization_event(context.asset_key)
    materialization = event.asset_materialization if event else None
    recorded = materialization.metadata.get(_CENSUS) if materialization else None
    if recorded is None:
        return None
    left = dict(recorded.value)
    until = datetime.fromisoformat(str(left.pop("until")))
    try:
        check_append_only(client, until, Census(**left))
    except PlatformError as error:
        if context.run.tags.get(ACCEPT_LOSS_TAG) == "yes":
            context.log.warning("accepted: %s", error)
            return str(error)
        raise PlatformError(
            f"{error}, or accept the loss: `stock-platform run --accept-ledger-loss`, in Dagster "
            f"the tag {ACCEPT_LOSS_TAG}=yes on a run of forecast_week"
        ) from None
    return None


def _week(report: "ForecastReport", week: date) -> dict[str, dg.MetadataValue | int | str]:
    refused = report.refusals.filter(pl.col("week") == week)
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "dagster/partition_row_count": report.by_week[week]
    }
    if week in report.no_origin:
        metadata["reason"] = "no_origin: no calendar has a session in this week"
    if week in report.no_data:
        metadata["reason"] = "no_data: no bar on the last session of this week"
    if refused.height:
        reasons = zip(refused["symbol"], refused["reason"], refused["detail"], strict=True)
        metadata["refusals"] = dg.MetadataValue.json({s: f"{r}: {d}" for s, r, d in reasons})
    return metadata


def _fan(client: "Client", issued: list[pl.DataFrame]) -> dict[str, dg.MetadataValue]:
    """Picture and table of the newest origin's forecasts by the champion that speaks now."""
    from stock_platform.ml.plots import HISTORY_SESSIONS, fan_chart

    if not issued:
        return {}
    champions = pl.concat(issued).filter(pl.col("role") == "champion")
    newest = champions.filter(pl.col("origin_session") == pl.col("origin_session").max())
    history = client.query_arrow(
        "SELECT symbol, session, close_traded * split_factor / last_value(split_factor) OVER ("
        " PARTITION BY instrument_id ORDER BY session"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS close,"
        " close_traded * volume AS turnover"
        " FROM (SELECT *, close AS close_traded FROM market.int_daily_prices"
        " WHERE session <= {origin:Date} AND session > {origin:Date} - {days:UInt32}"
        " AND symbol IN {symbols:Array(String)})"
        " ORDER BY symbol, session DESC LIMIT {rows:UInt32} BY symbol",
        parameters={
            "origin": newest["origin_session"][0],
            "days": 3 * HISTORY_SESSIONS,
            "symbols": newest["symbol"].unique().sort().to_list(),
            "rows": HISTORY_SESSIONS,
        },
    )
    shown = newest.filter(pl.col("horizon") == pl.col("horizon").max()).select(
        *("symbol", "model_name", "origin_session", "target_session", "origin_price"),
        *("q10", "q50", "q90", "p_up"),
    )
    frame = pl.DataFrame(pl.from_arrow(history)).with_columns(pl.col("session").cast(pl.Date))
    traded = frame.group_by("symbol").agg(pl.col("turnover").sum()).sort("turnover", "symbol")
    drawn = newest.filter(pl.col("symbol").is_in(traded["symbol"].tail(MOST_PANELS).implode()))
    return {
        "forecast_fan": picture(fan_chart(frame, drawn), "forecast of the week ahead"),
        "week_ahead": table(shown.sort("symbol").head(MOST_ROWS)),
    }


@dg.asset_check(
    asset=forecasts,
    blocking=True,
    description="Every champion row has its random walk beside it, and no row is there twice.",
)
def ledger_is_sound(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Look at the whole ledger, not at what this run added."""
    with platform.warehouse(context.run.run_id) as client:
        rows, repeated, alone = client.query(
            """
            SELECT sum(champion) + sum(baseline) AS rows, sum(copies > 1) AS repeated,
                   sum(champion != baseline) AS alone
            FROM (
                SELECT countIf(role = 'champion') > 0 AS champion,
                       countIf(role = 'baseline') > 0 AS baseline,
                       count() - uniqExact(forecast_id) + 1 AS copies
                FROM market.forecasts
                GROUP BY source, kind, backtest_name, instrument_id, origin_session, horizon
            )
            """
        ).result_rows[0]
    return dg.AssetCheckResult(
        passed=not repeated and not alone,
        metadata={"pairs": rows, "repeated_rows": repeated, "champions_without_baseline": alone},
    )


forecast_checks = [ledger_is_sound]
