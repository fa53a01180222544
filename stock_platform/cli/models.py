"""`stock-platform models list|promote|rollback` and `reproduce`: the registry and its decisions."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stock_platform.errors import PlatformError
from stock_platform.settings import load_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.ml.champion import ModelRef
    from stock_platform.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Pool = Annotated[str, typer.Option(help="Pool of instruments: equity, metal or fx.")]
Why = Annotated[str, typer.Option("--why", help="The reason; it is kept in the ledger.")]
Who = Annotated[str, typer.Option("--who", help="Who decides; your user name by default.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the console script."""
    models = typer.Typer(help="The registered models and which one speaks.", no_args_is_help=True)
    app.add_typer(models, name="models")

    @models.command("list")
    def list_models(
        decisions: Annotated[
            bool, typer.Option("--decisions", help="Show the promotion ledger instead.")
        ] = False,
        json_output: Json = False,
    ) -> None:
        """Every registered version of the active source, newest first, or every decision."""
        from stock_platform.ml.champion import promotions
        from stock_platform.ml.registry import Registry

        settings = load_settings()
        if decisions:
            with _warehouse(settings) as client:
                rows = promotions(client, settings.source).rows(named=True)
        else:
            rows = Registry(settings).versions(settings.source)
        hidden = set() if json_output else {"evidence", "decision_id", "model_digest"}
        _show([{k: v for k, v in row.items() if k not in hidden} for row in rows], json_output)

    @models.command()
    def promote(
        version: Annotated[int, typer.Argument(help="Version of the active source and the pool.")],
        why: Why,
        who: Who = "",
        pool: Pool = "equity",
        json_output: Json = False,
    ) -> None:
        """Make a version the champion of its source and pool from the next forecast on.

        A week that is forecast again gets the new champion's rows beside the old ones; the first
        issued stay the ones that are scored.
        """
        from stock_platform.ml.registry import Registry

        settings = load_settings()
        with _warehouse(settings) as client:
            model = Registry(settings).version(settings.source, pool, version)
            row = _decide(client, settings, pool, "promote", model, who, why)
        _show([row], json_output)

    @models.command()
    def rollback(why: Why, who: Who = "", pool: Pool = "equity", json_output: Json = False) -> None:
        """Return to the champion before the present one, from the next forecast on.

        Again: one further back. What was rolled back from is not returned to; to have it once more,
        promote it.
        """
        from stock_platform.ml.champion import previous_champion, promotions

        settings = load_settings()
        with _warehouse(settings) as client:
            before = previous_champion(promotions(client, settings.source), pool)
            row = _decide(client, settings, pool, "rollback", before, who, why)
        _show([row], json_output)

    @app.command()
    def reproduce(
        forecast_id: Annotated[str, typer.Argument(help="Id in market.forecasts, or its start.")],
        json_output: Json = False,
    ) -> None:
        """Rebuild a forecast from its ledger row; exit code 1 if it does not match."""
        from stock_platform.ml.panel_reader import PanelReader
        from stock_platform.ml.registry import Registry
        from stock_platform.ml.reproduce import find_forecast
        from stock_platform.ml.reproduce import reproduce as rebuild

        settings = load_settings()
        with _warehouse(settings) as client:
            row = find_forecast(client, forecast_id)
            reader = PanelReader.from_warehouse(client, row["as_of_clock"])
            result = rebuild(Registry(settings), reader, row)
        answer = {
            "forecast_id": result.forecast_id,
            "matches": result.matches,
            "same_code": result.same_code,
            "code_version": row["code_version"],
            "differences": result.differences,
        }
        if json_output:
            _show([answer], json_output=True)
        elif result.matches:
            typer.echo(
                f"{row['symbol']} {row['origin_session']} horizon {row['horizon']} by "
                f"{row['model_name']} version {row['model_version']}: every number is as published"
            )
        if not result.matches:
            raise PlatformError(_difference(answer, row))


def _decide(
    client: "Client",
    settings: "Settings",
    pool: str,
    action: str,
    model: "ModelRef",
    *who_and_why: str,
) -> dict[str, Any]:
    from stock_platform.ml.champion import decide_by_hand, promotions
    from stock_platform.ml.registry import Registry

    who, why = who_and_why
    registry = Registry(settings)
    registry.load(model)  # a model that can't be loaded must not become champion
    row = decide_by_hand(
        client, settings.source, pool, action, model, who=who or getpass.getuser(), why=why
    )
    registry.follow(promotions(client, settings.source), settings.source, pool)
    return row


def _difference(answer: dict[str, Any], row: dict[str, Any]) -> str:
    shown = "; ".join(
        f"{name}: published {published}, rebuilt {rebuilt}"
        for name, (published, rebuilt) in answer["differences"].items()
    )
    code = "" if answer["same_code"] else f" (this code is not {row['code_version']})"
    return f"forecast {answer['forecast_id']} is not what its row gives now{code}: {shown}"


@contextmanager
def _warehouse(settings: "Settings") -> "Iterator[Client]":
    from stock_platform.warehouse.client import connect
    from stock_platform.warehouse.local import ensure_running

    with ensure_running(settings) if settings.embedded_warehouse else nullcontext():
        client = connect(settings)
        try:
            yield client
        finally:
            client.close()


def _show(rows: list[dict[str, Any]], json_output: bool) -> None:
    from stock_platform.cli.output import Format, render

    if not rows and not json_output:
        typer.echo("none yet: train a week first (`stock-platform run`)")
        return
    columns = list(rows[0]) if rows else []
    style = Format.json if json_output else Format.table
    typer.echo(render(columns, [list(row.values()) for row in rows], style))
