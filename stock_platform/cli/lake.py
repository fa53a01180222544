"""`stock-platform lake`: ad-hoc SQL on the lake with DuckDB."""

from typing import Annotated

import typer

from stock_platform.cli.moment import Clock, ClockOption, moment
from stock_platform.cli.output import Format, render
from stock_platform.lake.schema import DATASETS


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command(
        help=f"Ask the lake: tables {', '.join(DATASETS)}, one row per version. It only reads."
    )
    def lake(
        sql: Annotated[str, typer.Argument(help="Such as: SELECT * FROM equity_prices LIMIT 5")],
        as_of: Annotated[
            str | None,
            typer.Option(help="Each row as known at this moment (ISO, UTC); else every version."),
        ] = None,
        clock: ClockOption = Clock.known_at,
        format_: Annotated[Format, typer.Option("--format")] = Format.table,
    ) -> None:
        from stock_platform.lake import Lake, query
        from stock_platform.settings import load_settings

        settings = load_settings()
        at = moment(as_of, "--as-of")
        columns, rows = query.query(Lake.open(settings), settings, sql, at=at, clock=clock.value)
        text = render(columns, rows, format_)
        if text:
            typer.echo(text)
