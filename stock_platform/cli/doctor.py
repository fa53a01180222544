"""`stock-platform doctor`: what is reachable, what is wrong, and the mend.

Only the report and its order; the checks themselves are in `cli/checks*.py`. Nothing here starts,
creates or changes anything.
"""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from stock_platform.settings import Settings, SettingsError, load_settings

MARKS = {"ok": "[green]ok[/]  ", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def doctor(
        json_output: Annotated[
            bool, typer.Option("--json", help="Print the report as JSON.")
        ] = False,
    ) -> None:
        """Say what is reachable and what is wrong, each with its mend; exit 1 if anything is."""
        found = report()
        if json_output:
            typer.echo(json.dumps(found, indent=2))
        else:
            _print(found)
        if not found["healthy"]:
            raise typer.Exit(1)


def report() -> dict[str, Any]:
    """Everything found: `addresses`, `users`, `versions`, `checks` and `healthy`.

    `checks` holds `{name, state: ok|warn|fail, what, mend}`; passwords are never part of it.
    """
    from stock_platform.cli import checks, checks_settings

    settings: Settings | None
    try:
        settings = load_settings()
        found = [checks.Check("settings", "ok", f"{len(Settings.model_fields)} settings")]
    except SettingsError as error:
        settings = None
        found = [checks.Check("settings", "fail", str(error), "correct it, then run doctor again")]
    look: Any
    for look in (
        checks.python_version,
        checks.pinned_versions,
        checks.code_location,
        checks.browser,
    ):
        found.append(look())
    if settings is not None:
        for look in (
            checks_settings.source,
            checks_settings.home,
            checks_settings.lake,
            checks_settings.databases,
            checks_settings.warehouse,
            checks_settings.services,
        ):
            found.extend(look(settings))
    return {
        "healthy": all(check.state != "fail" for check in found),
        "addresses": checks_settings.addresses(settings) if settings else {},
        "users": checks_settings.users(settings) if settings else [],
        "versions": checks.versions(),
        "checks": [asdict(check) for check in found],
    }


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    for check in found["checks"]:
        console.print(f"{MARKS[check['state']]} {check['name']:<15} {escape(check['what'])}")
        if check["mend"]:
            console.print(f"     {'':<15} -> {escape(check['mend'])}")
    console.print()
    for name, address in found["addresses"].items():
        console.print(f"{name:<20} {escape(address)}")
    console.print(f"{'warehouse users':<20} {', '.join(found['users'])}")
    console.print("\nhealthy" if found["healthy"] else "\nnot healthy: mend what says FAIL")
