"""`warehouse`, `sql` and `down`: the local warehouse server, questions to the warehouse, the stop.

What the server does and how it is started belong to `stock_platform.warehouse`.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from clickhouse_connect.driver.httpclient import HttpClient

    from stock_platform.settings import Settings


class OutputFormat(StrEnum):
    """How `sql` prints rows."""

    table = "table"
    tsv = "tsv"
    json = "json"


_SERVER_FORMAT = {
    OutputFormat.table: "PrettyCompactMonoBlock",
    OutputFormat.tsv: "TabSeparated",
    OutputFormat.json: "JSONEachRow",
}
_PRINTING = {
    "output_format_json_array_of_rows": 1,
    "output_format_pretty_color": 0,
    "output_format_pretty_row_numbers": 0,
    "wait_end_of_query": 1,
}
"""`wait_end_of_query`: an error in mid-result is an error, not half a table."""
_REFUSED = frozenset({164, 497})
"""READONLY, ACCESS_DENIED: what the server says to one who may only read."""
_NEEDS_ADMIN = "; `sql` only reads, this statement needs --admin"


def register(app: typer.Typer) -> None:
    """Add the commands to the console script."""
    app.command("warehouse")(serve_warehouse)
    app.command()(sql)
    app.command()(down)


def serve_warehouse(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Directory of data, passwords and state.")
    ] = None,
) -> None:
    """Run just the local warehouse server, until Ctrl-C."""
    from stock_platform.settings import load_settings
    from stock_platform.warehouse import local
    from stock_platform.warehouse.server.serve import serve

    settings = load_settings()
    serve(
        data_dir or local.directory(settings),
        settings.warehouse_host if host is None else host,
        settings.warehouse_port if port is None else port,
    )


def sql(
    query: Annotated[str, typer.Argument(help="One ClickHouse statement.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print rows.")] = (
        OutputFormat.table
    ),
    admin: Annotated[
        bool, typer.Option("--admin", help="Ask as the administrator, who may change anything.")
    ] = False,
) -> None:
    """Ask the warehouse (database `market`) and print the answer; only reads without --admin."""
    from contextlib import nullcontext
    from typing import IO, cast

    from clickhouse_connect.driver.exceptions import ClickHouseError

    from stock_platform.settings import load_settings
    from stock_platform.warehouse import local

    settings = load_settings()
    running = local.ensure_running(settings) if settings.embedded_warehouse else nullcontext()
    with running, _connected(settings, admin=admin) as warehouse:
        try:
            answer = cast(
                "IO[bytes]",
                warehouse.raw_stream(
                    query,
                    settings=_PRINTING,
                    transport_settings={"X-ClickHouse-Format": _SERVER_FORMAT[output]},
                ),
            )
            while piece := answer.read(1 << 20):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        except ClickHouseError as error:
            hint = "" if admin or getattr(error, "code", None) not in _REFUSED else _NEEDS_ADMIN
            raise PlatformError(_plain(str(error)) + hint) from None
        except BrokenPipeError:
            # The reader of our output has seen enough; keep Python from flushing into it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def down() -> None:
    """Stop whatever this project left running: `up` with its services, the local warehouse."""
    from stock_platform.cli import superset
    from stock_platform.cli.up import record
    from stock_platform.settings import load_settings
    from stock_platform.supervisor import stop_left_over
    from stock_platform.warehouse import local

    settings = load_settings()
    services = stop_left_over(record(settings))
    if services:
        typer.echo("stopped `up` and its services")
    dashboards = stop_left_over(superset.record(settings))
    if dashboards:
        typer.echo("stopped `superset serve`")
    server = local.stop(settings)
    if server:
        typer.echo(f"stopped the warehouse server (pid {server.pid}, {server.url})")
    if not services and not dashboards and not server:
        typer.echo("nothing of this project was left running")


def _connected(settings: Settings, *, admin: bool) -> HttpClient:
    from stock_platform.warehouse import client

    if admin:
        return client.connect(settings)
    if settings.embedded_warehouse:
        client.connect(settings).close()  # a fresh server has no `market`, a reader can't make it
    return client.connect(settings, user="reader")


def _plain(message: str) -> str:
    """The server's own words, without the driver's wrapping."""
    start, end = message.find("Code: "), message.rfind(" (for url ")
    return message[max(0, start) : end if end > 0 else None].strip()
