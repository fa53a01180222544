"""`stock-platform replay`: the lake made anew from recorded responses, compared with itself."""

import json
import logging
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stock_platform.cli.moment import moment
from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from stock_platform.lake.comparison import Compared
    from stock_platform.sources.replay import Replayed

    Outcome = tuple[Replayed, dict[str, Compared]]


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def replay(
        source: Annotated[str, typer.Option(help="yahoo, cbr or all.")] = "all",
        into: Annotated[
            Path | None,
            typer.Option(help="Empty or new directory for the rebuilt lake; else it is dropped."),
        ] = None,
        until: Annotated[
            str | None,
            typer.Option(help="Only loads and rows known by this moment (ISO, UTC)."),
        ] = None,
        json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    ) -> None:
        """Load all recorded responses again, offline, into a fresh lake, and compare it row by row.

        Exit code 1 if the rebuilt lake differs from the present one.
        """
        from stock_platform.settings import load_settings

        settings = load_settings()
        asked = moment(until, "--until")
        with _home(into) as home:
            with _quiet():
                outcomes = _replay(settings, home, source, asked, copy=into is not None)
            same = all(one.same for _, found in outcomes for one in found.values())
            if json_output:
                typer.echo(_json(outcomes, same, home if into else None))
            else:
                for outcome in outcomes:
                    typer.echo("\n".join(_lines(*outcome)))
                if into:
                    typer.echo(_how_to_use(home))
        if not same:
            raise PlatformError(
                "the lake is not what its recorded responses give: rows were changed, lost or added"
                " outside a recorded load, a recorded response was changed, or this version reads"
                " one otherwise, or what an interrupted load was told was never asked for again;"
                " the rows above name them (--into DIRECTORY keeps the rebuilt lake)"
            )


def _replay(
    settings: Any, home: Path, source: str, until: datetime | None, *, copy: bool
) -> "list[Outcome]":
    """Replay and compare; with `copy` the rebuilt lake gets the recorded responses too."""
    from stock_platform.lake import Lake
    from stock_platform.lake.comparison import compare
    from stock_platform.progress import reporter
    from stock_platform.sources.replay import recorded, replay

    lake = Lake.open(settings)
    # A load that runs meanwhile is left out.
    until = until or datetime.now(UTC)
    found = recorded(lake, source, until)
    into_settings = settings.model_copy(update={"home": home, "lake_url": "", "catalog_uri": ""})
    rebuilt = Lake.open(into_settings)
    outcomes = []
    for name, keys in found.items():
        with reporter(f"replay {name}") as progress:
            done = replay(
                name,
                keys,
                lake,
                rebuilt,
                settings=settings,
                into_settings=into_settings,
                progress=progress,
            )
        compared = compare(
            lake,
            rebuilt,
            name,
            recorded=set(done.loads),
            interrupted=done.interrupted,
            until=until,
        )
        outcomes.append((done, compared))
        if copy:
            for key in keys:
                rebuilt.store.put_new([(key, lake.store.get(key))])
    return outcomes


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the sources' warnings: they were given when the loads were made."""
    logger = logging.getLogger("stock_platform.sources")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _home(into: Path | None) -> Iterator[Path]:
    """A directory for the rebuilt lake; a temporary one unless it is named."""
    if into is None:
        with tempfile.TemporaryDirectory(prefix="stock-platform-replay-") as folder:
            yield Path(folder).resolve()
        return
    home = into.expanduser().resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
        occupied = next(home.iterdir(), None) is not None
    except OSError as error:
        raise PlatformError(
            f"--into {home} can't be a directory: {error.strerror} (name another one)"
        ) from error
    if occupied:
        raise PlatformError(f"--into {home} is not empty: name a new directory, or empty this one")
    yield home


def _lines(done: "Replayed", found: "dict[str, Compared]") -> Iterator[str]:
    loads = f"{len(done.loads):,} load{'s' * (len(done.loads) != 1)}"
    span = f"{_when(done.loads[0])} to {_when(done.loads[-1])}"
    yield f"{done.source}: {loads} ({span}), {done.requests:,} recorded requests"
    for name, one in found.items():
        yield (
            f"  {name}: {one.equal:,} rows equal, {one.only_in_lake:,} only in the lake, "
            f"{one.only_in_replay:,} only in the replay"
        )
        for side in ("only_in_lake", "only_in_replay"):
            if side in one.examples:
                yield f"    {side.replace('_', ' ')}: {_row(one.examples[side])}"
        if one.unrecorded:
            yield (
                f"    {one.unrecorded:,} of those only in the lake are of loads whose responses "
                "are not recorded"
            )
        if one.known_earlier:
            yield (
                f"    {one.known_earlier:,} rows the replay knows earlier, with the same values: a "
                "load was interrupted and a later one wrote them: "
                + _row(one.examples["known_earlier"])
            )
        if one.interrupted:
            yield (
                f"    {one.interrupted:,} rows were told to a load that was interrupted, and never "
                "written: no later load was told the same"
            )
        if one.lost:
            yield (
                f"    {one.lost:,} rows were told to a load that was interrupted, and no later load"
                " asked again: load these days once more, the first: " + _row(one.examples["lost"])
            )
    for begun, why in done.refused.items():
        yield f"  the load of {_when(begun)} was interrupted, and fails now too: {why}"
    if not all(one.same for one in found.values()):
        yield from _other_versions(done)


def _other_versions(done: "Replayed") -> Iterator[str]:
    for library, versions in done.versions.items():
        if versions != {version(library)}:
            yield (
                f"  recorded with {library} {', '.join(sorted(versions))}, "
                f"read now with {version(library)}"
            )


def _row(row: dict[str, Any]) -> str:
    names = (name for name in row if name not in ("source", "payload_digest", "available_at"))
    return ", ".join(
        f"{name} {row[name].isoformat() if isinstance(row[name], datetime) else row[name]}"
        for name in names
        if row[name] != ""
    )


def _json(outcomes: "list[Outcome]", same: bool, home: Path | None) -> str:
    sources = [
        {
            "source": done.source,
            "loads": len(done.loads),
            "first_known_at": done.loads[0],
            "last_known_at": done.loads[-1],
            "requests": done.requests,
            "interrupted_loads": sorted(set(done.loads) & done.interrupted),
            "refused_loads": {moment.isoformat(): why for moment, why in done.refused.items()},
            "versions": {name: sorted(found) for name, found in done.versions.items()},
            "datasets": {name: asdict(one) | {"same": one.same} for name, one in found.items()},
        }
        for done, found in outcomes
    ]
    answer = {"same": same, "into": home and str(home), "sources": sources}
    return json.dumps(answer, default=lambda moment: moment.isoformat(), indent=1)


def _how_to_use(home: Path) -> str:
    quoted = shlex.quote(str(home))
    catalog = shlex.quote(f"sqlite:///{home / 'catalog.db'}")
    return (
        f"the rebuilt lake stays in {home}; use it there, for the catalog holds its paths:\n"
        f"  STOCK_PLATFORM_HOME={quoted} stock-platform ...   (with a warehouse of its own)\n"
        f"  STOCK_PLATFORM_LAKE_URL={shlex.quote(str(home / 'lake'))} "
        f"STOCK_PLATFORM_CATALOG_URI={catalog} stock-platform lake ..."
    )


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
