"""`stock-platform digest`: the week's forecasts and what changed, to read, mail or post."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from stock_platform.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def digest(
        week: Annotated[
            datetime | None,
            typer.Option(formats=["%Y-%m-%d"], help="Any day of the week; the newest without."),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(help="Folder for the HTML page and the Markdown file."),
        ] = None,
    ) -> None:
        """Print the weekly digest as Markdown, or write it as HTML and Markdown into a folder."""
        from stock_platform.digest.content import read_digest
        from stock_platform.digest.render import to_markdown, write
        from stock_platform.warehouse.client import connect
        from stock_platform.warehouse.local import ensure_running

        settings = load_settings()
        with ensure_running(settings):
            client = connect(settings, user="reader")
            try:
                found = read_digest(client, settings.source, week.date() if week else None)
            finally:
                client.close()
        if out is None:
            typer.echo(to_markdown(found))
            return
        for path in write(found, out):
            typer.echo(path)
