"""`stock-platform superset`: check, apply and serve the dashboards of `docker/superset/assets`.

What they are and how Superset takes them belongs to `stock_platform/superset`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stock_platform.settings import PROJECT_ROOT, Settings, load_settings

if TYPE_CHECKING:
    from stock_platform.superset.service import Applied

Folder = Annotated[Path | None, typer.Option("--assets", help="Folder of assets to take instead.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the console script."""
    commands = typer.Typer(help="Dashboards as code: check, apply, serve.", no_args_is_help=True)
    commands.command()(check)
    commands.command()(apply)
    commands.command()(serve)
    app.add_typer(commands, name="superset")


def check(assets: Folder = None) -> None:
    """Check dashboards, charts and datasets against each other and the dbt models; no Superset."""
    from stock_platform.superset.bundle import ASSETS, load

    found = load(assets or ASSETS)
    typer.echo(
        f"{len(found.dashboards)} dashboards, {len(found.charts)} charts and "
        f"{len(found.datasets)} datasets hold together"
    )


def apply(
    assets: Folder = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also when nothing changed: undoes edits by hand.")
    ] = False,
    json_output: Annotated[
        bool, typer.Option("--json", help="Print counts and ids as JSON.")
    ] = False,
) -> None:
    """Bring the local Superset to the assets: all of them, or on any error none."""
    import json
    from dataclasses import asdict

    from stock_platform.superset import service
    from stock_platform.superset.bundle import ASSETS, load
    from stock_platform.superset.compile import files

    settings = load_settings()
    content = files(load(assets or ASSETS))
    with _warehouse(settings):
        done = service.apply(settings, content, force=force)
    typer.echo(json.dumps(asdict(done)) if json_output else _told(done))


def serve() -> None:
    """Apply the assets and serve Superset on loopback until Ctrl-C, over the local warehouse."""
    from stock_platform.cli.up import Claim, check_ports, environment, superset_service
    from stock_platform.settings import PREFIX
    from stock_platform.superset import service
    from stock_platform.supervisor import Supervisor

    settings = load_settings()
    where = f"user {service.ADMINISTRATOR}, password in {service.credentials_file(settings)}"
    with _warehouse(settings):
        if service.is_served(settings):
            apply()
            typer.echo(f"Superset is served already at {service.address(settings)} ({where})")
            return
        check_ports([Claim("127.0.0.1", settings.superset_port, f"{PREFIX}SUPERSET_PORT")])
        service.credentials(settings)
        typer.echo(f"Superset: {where}")
        sys.stdout.flush()
        Supervisor(
            [superset_service(settings)], record(settings), environment(settings), PROJECT_ROOT
        ).run()


def record(settings: Settings) -> Path:
    """The file that names the processes of a running `superset serve`."""
    from stock_platform.superset import service

    return service.folder(settings) / "serve.json"


def _warehouse(settings: Settings) -> AbstractContextManager[object]:
    from stock_platform.warehouse import local

    return local.ensure_running(settings) if settings.embedded_warehouse else nullcontext()


def _told(done: Applied) -> str:
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(done.counts.items()))
    gone = "".join(f"\nremoved {name}" for name in done.pruned)
    return f"Superset holds {counts}{gone}"
