"""`stock-platform diff`: two states of a mart, row by row, and why they differ."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stock_platform.cli.moment import Clock, ClockOption, moment
from stock_platform.cli.output import Format, render
from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.warehouse.beside import State
    from stock_platform.warehouse.diff import Difference

TROUBLE = 2
"""Exit code when the comparison could not be made, as diff(1) has it."""
SHOWN = 4
"""Changed columns that an example names; --json has them all."""
TITLES = {"only_left": "only left", "only_right": "only right", "changed": "changed"}


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def diff(
        mart: Annotated[str, typer.Argument(help="Such as fct_daily_prices.")],
        left: Annotated[
            str,
            typer.Argument(
                help="A moment (ISO, UTC): the mart is built as known then. `now`: built from "
                "everything known. Or a database that holds it, such as market."
            ),
        ],
        right: Annotated[str, typer.Argument(help="The same; the present mart.")] = "market",
        *,
        clock: ClockOption = Clock.known_at,
        keep: Annotated[
            bool, typer.Option("--keep", help="Keep what is built, in a database of its own.")
        ] = False,
        limit: Annotated[int, typer.Option(min=0, help="Examples of each kind of difference.")] = 3,
        json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Compare two states of a mart row by row: what differs, by how much and why.

        Exit code 0 if they are the same, 1 if they differ, 2 if they can't be compared.
        """
        from clickhouse_connect.driver.exceptions import ClickHouseError

        try:
            found = _compare(mart, (left, right), clock, keep=keep, limit=limit)
        except (PlatformError, ClickHouseError) as error:
            sys.stderr.write(f"error: {error}\n")
            raise typer.Exit(TROUBLE) from None
        typer.echo(_json(found) if json_output else "\n".join(_lines(found, keep=keep)))
        if not found.same:
            raise typer.Exit(1)


def _compare(
    name: str, sides: tuple[str, str], clock: Clock, *, keep: bool, limit: int
) -> "Difference":
    from stock_platform.progress import reporter
    from stock_platform.settings import load_settings
    from stock_platform.warehouse import beside, diff, local
    from stock_platform.warehouse.beside import State
    from stock_platform.warehouse.client import connect
    from stock_platform.warehouse.manifest import mart

    settings = load_settings()
    wanted = mart(name)
    running = local.ensure_running(settings) if settings.embedded_warehouse else nullcontext()
    with ExitStack() as stack:
        stack.enter_context(running)
        client = connect(settings)
        stack.callback(client.close)
        beside.drop_left_over(settings, client)
        # Both are read before one is built: a typing error is told at once.
        asked = [_asked(client, side) for side in sides]
        states: list[State] = []
        for side in asked:
            if isinstance(side, State):
                states.append(side)
            elif states and asked[0] == side:
                states.append(states[0])
            else:
                title = f"as of {side:%Y-%m-%d %H:%M:%S}" if side else "now"
                with reporter(f"building {name} {title}") as progress:
                    built = beside.built(
                        settings, client, name, side, clock.value, keep=keep, progress=progress
                    )
                    states.append(stack.enter_context(built))
        with reporter(f"comparing {name}") as progress:
            return diff.compare(
                client, wanted, *states, source=settings.source, limit=limit, progress=progress
            )


def _asked(client: "Client", text: str) -> "State | datetime | None":
    """The state in the database of that name, or the moment to build as of; None for now.

    Raises:
        PlatformError: it is neither.
    """
    from stock_platform.warehouse import beside

    found = beside.existing(client, text)
    if found is not None:
        return found
    if text == "now":
        return None
    try:
        return moment(text, "")
    except PlatformError:
        names = ", ".join(beside.databases(client))
        raise PlatformError(
            f"{text!r} is neither a moment (2026-11-20 or 2026-11-20T18:00:00+00:00), nor `now`, "
            f"nor a database: there is {names}"
        ) from None


def _lines(found: "Difference", *, keep: bool) -> Iterator[str]:
    from stock_platform.warehouse.diff import SIDES

    width = len(f"{max(found.rows_left, found.rows_right):,}")
    yield f"{found.mart}: {found.left.title} against {found.right.title}"
    for title, rows in (("left", found.rows_left), ("right", found.rows_right)):
        yield f"  {title:<10}  {rows:>{width},} rows"
    yield f"  {'same':<10}  {found.rows_equal:>{width},}"
    for side in SIDES:
        why = ", ".join(f"{reason} {rows:,}" for reason, rows in found.reasons[side].items())
        yield f"  {TITLES[side]:<10}  {found.count(side):>{width},}  {why}".rstrip()
    for title, names in (("left", found.columns_only_left), ("right", found.columns_only_right)):
        if names:
            yield f"  columns only {title}, not compared: {', '.join(names)}"
    if found.columns:
        table = [
            (one.name, one.rows, _figure(one.largest_change), _figure(one.largest_relative_change))
            for one in found.columns
        ]
        columns = ("column", "rows changed", "largest change", "relative")
        yield ""
        yield render(columns, table, Format.table).rsplit("\n", 1)[0]
    if found.examples:
        yield ""
        yield from map(_example, found.examples)
    if not min(found.rows_left, found.rows_right) and found.left.clock == "known_at":
        yield ""
        yield "one side is empty: history fetched late is told apart by --clock available_at"
    for state in {found.left.database: found.left, found.right.database: found.right}.values():
        if keep and state.kept:
            yield f"kept: database {state.database} ({state.title})"


def _example(example: dict[str, Any]) -> str:
    changes = [
        f"{name} {'NULL' if before is None else before} -> {'NULL' if after is None else after}"
        for name, (before, after) in example["changes"].items()
    ]
    if len(changes) > SHOWN:
        changes[SHOWN:] = [f"and {len(changes) - SHOWN} more"]
    key = " ".join(example["key"].values())
    title = f"  {TITLES[example['side']]}, {example['reason']}: {key}"
    return f"{title}: {', '.join(changes)}" if changes else title


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _json(found: "Difference") -> str:
    return json.dumps(
        {"same": found.same, "rows_equal": found.rows_equal, **asdict(found)},
        default=lambda told: told.isoformat(),
        indent=1,
    )
