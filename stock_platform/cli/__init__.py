"""The console script `stock-platform`, one file per group of commands.

Each module has `register(app)`; commands import what they need when they run, so that help and
completion are immediate. A `PlatformError` becomes one line on standard error and exit code 1.
"""

import sys

import typer

from stock_platform.cli import (
    backtest,
    diff,
    digest,
    doctor,
    lake,
    models,
    replay,
    run,
    superset,
    up,
    warehouse,
)
from stock_platform.errors import PlatformError

app = typer.Typer(
    name="stock-platform",
    help="Daily market data you can trust, and a week-ahead price forecast with its record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    run, up, warehouse, doctor, lake, diff, models, backtest, replay, digest, superset,
):  # fmt: skip
    module.register(app)


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None
