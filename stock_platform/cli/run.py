"""`stock-platform run`: the whole asset graph on the active source, then a table of forecasts."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stock_platform.settings import load_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.defs.pipeline import Refusals
    from stock_platform.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def run(
        json_output: Annotated[
            bool, typer.Option("--json", help="Print the forecasts as JSON.")
        ] = False,
        accept_ledger_loss: Annotated[
            bool,
            typer.Option(
                "--accept-ledger-loss",
                help="Go on although forecasts on record are gone: their record begins anew.",
            ),
        ] = False,
    ) -> None:
        """Materialize whatever is missing or stale, through Dagster, and print the forecasts."""
        from stock_platform.defs.pipeline import run_pipeline
        from stock_platform.warehouse.client import connect
        from stock_platform.warehouse.local import ensure_running

        settings = load_settings()
        with ensure_running(settings):
            refusals = run_pipeline(settings, accept_ledger_loss=accept_ledger_loss)
            client = connect(settings)
            try:
                rows = latest_forecasts(client, settings.source)
            finally:
                client.close()
        if json_output:
            import json

            refused = {"refusals": not_forecast(refusals, rows), "refusals_week": refusals.week}
            typer.echo(json.dumps({"forecasts": rows, **refused}, default=str))
        else:
            _print_table(rows, refusals, settings)


LOG_WIDTH = 140
"""Columns of the table where the output is no terminal."""

COLUMNS: dict[str, Literal["left", "right"]] = {
    "instrument": "left",
    "target": "left",
    "last price": "right",
    "median": "right",
    "80 % interval": "right",
    "P(rise)": "right",
    "skill": "right",
    "scored": "right",
    "model": "left",
}

LATEST_FORECASTS = """
SELECT f.instrument_id AS instrument_id, f.symbol AS symbol, f.currency AS currency,
       f.model_name AS model, f.kind AS kind, f.backtest_name AS backtest_name,
       f.origin_session AS origin, f.target_session AS target, f.origin_price AS last_price,
       f.q50 AS median, f.q10 AS low_80, f.q90 AS high_80, f.p_up AS p_up
FROM market.forecasts AS f
WHERE f.source = {source:String} AND f.role = 'champion' AND f.horizon = 5
-- After a rollback the week may hold two models' rows: the one that speaks now comes first.
ORDER BY f.origin_session DESC, f.kind = 'live' DESC, f.model_digest IN (
    SELECT argMax(model_digest, (data_as_of, decided_at, decision_id))
    FROM market.promotions WHERE source = {source:String} GROUP BY pool
) DESC, f.issued_at DESC
LIMIT 1 BY f.instrument_id
"""

RECORDS = """
SELECT a.instrument_id AS instrument_id, a.kind AS kind, a.backtest_name AS backtest_name,
       count() AS scored, 1 - avg(a.pinball_loss) / avg(a.baseline_pinball_loss) AS skill
FROM market.fct_forecast_accuracy AS a
WHERE a.horizon = 5
GROUP BY instrument_id, kind, backtest_name
"""


def latest_forecasts(client: "Client", source: str) -> list[dict[str, Any]]:
    """The newest five-session forecast of each instrument with its skill so far.

    Skill is 1 - (mean pinball loss of the forecasts on record) / (that of the random walk on the
    same rows). `record` says whose: the forecast's own kind, or for a live one of which none has
    matured yet, the backtest by the same code. `scored` is 0 and skill NaN where there is neither.
    """
    from stock_platform.ml.issue import backtest_name

    records = {
        (row["instrument_id"], row["kind"], row["backtest_name"]): row
        for row in client.query(RECORDS).named_results()
    }
    forecasts = client.query(LATEST_FORECASTS, parameters={"source": source}).named_results()
    rows = []
    for row in sorted(forecasts, key=lambda row: str(row["symbol"])):
        instrument, kind, name = (row.pop(n) for n in ("instrument_id", "kind", "backtest_name"))
        found = records.get((instrument, kind, name)) or records.get(
            (instrument, "backtest", backtest_name(source))
        )
        record = found or {"kind": "none", "scored": 0, "skill": float("nan")}
        wanted = {"record": record["kind"], "scored": record["scored"], "skill": record["skill"]}
        rows.append(row | {"kind": kind} | wanted)
    return rows


def not_forecast(refusals: "Refusals", rows: list[dict[str, Any]]) -> dict[str, str]:
    """Symbol -> reason of every instrument without a forecast in the week of `refusals`."""
    from stock_platform.defs.pipeline import WEEKS_LOOKED_AT

    week = refusals.week
    told = {row["symbol"] for row in rows if week is None or row["origin"] >= week}
    told |= set(refusals.reasons)
    silent = (
        "no bar in the week"
        if week
        else f"no bar at the end of any of the last {WEEKS_LOOKED_AT} weeks"
    )
    missing = {}
    for one in refusals.instruments:
        symbols = {one.symbol, *[row.symbol for held in one.symbols.values() for row in held]}
        if not symbols & told:
            missing[one.symbol] = silent
    return refusals.reasons | missing


def _print_table(rows: list[dict[str, Any]], refusals: "Refusals", settings: "Settings") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print("\n[bold]Price five sessions ahead[/bold]")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, justify in COLUMNS.items():
        table.add_column(column, justify=justify, no_wrap=column != "model", overflow="fold")
    for row in rows:
        table.add_row(
            row["symbol"],
            str(row["target"]),
            f"{row['last_price']:,.2f} {row['currency']}",
            f"{row['median']:,.2f}",
            f"{row['low_80']:,.2f} .. {row['high_80']:,.2f}",
            f"{row['p_up']:.0%}",
            f"{row['skill']:+.2%}" if row["scored"] else "none yet",
            f"{row['scored']} {row['record']}" if row["scored"] else "",
            row["model"],
        )
    console.print(table)
    console.print(
        f"Last prices are of {max(row['origin'] for row in rows)}. " if rows else "",
        "skill: how much smaller the pinball loss on record is than the random walk's, "
        "over the scored forecasts (backtest or live); below zero is worse than the random walk.",
    )
    when = f" in the week of {refusals.week}" if refusals.week else ""
    for symbol, reason in sorted(not_forecast(refusals, rows).items()):
        console.print(f"not forecast{when}: {symbol} ({reason})")
    command = os.path.relpath(sys.argv[0])
    app, graph, experiments = (
        f"http://127.0.0.1:{port}"
        for port in (settings.pages_port, settings.dagster_port, settings.mlflow_port)
    )
    console.print(
        f"\nNext: make up                  these forecasts as pictures, with their record, at {app}"
    )
    console.print(f"      {'':<24} the graph at {graph}, models at {experiments}")
    for name, about in (
        ("doctor", "what is reachable, what is wrong, and the mend"),
        ("sql", "'SELECT * FROM market.agg_accuracy'"),
        ("lake", "'SELECT * FROM equity_prices LIMIT 5'"),
    ):
        console.print(f"      {command} {name:<7} {about}")
