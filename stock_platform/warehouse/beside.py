"""Marts built beside the present ones: a database with a mart as known at a moment.

Staging is read, never built: it holds every version of every row whatever the moment. What two such
databases differ in is `diff.py`; what "as known at" means is `dbt/macros/as_of.sql`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_platform.errors import PlatformError
from stock_platform.warehouse import dbt
from stock_platform.warehouse.client import DATABASE

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.lake.as_of import Clock
    from stock_platform.progress import Progress
    from stock_platform.settings import Settings

NOW = f"{DATABASE}_now"
"""Name, or its beginning, of a database built from everything known."""
PAST = f"{DATABASE}_as_of_"
_MODEL_DONE = re.compile(r" (\d+) of (\d+) (?:OK|ERROR|SKIP)")
_OWNED = re.compile(rf"{DATABASE}_\w+__(\d+)")
"""A database for the time of one process, which its name ends with."""


@dataclass(frozen=True)
class State:
    """A state of the marts.

    Attributes:
        moment: what it was built as known at; None for everything known when it was built.
        clock: which of a row's clocks decided.
    """

    database: str
    moment: datetime | None
    clock: Clock

    @property
    def kept(self) -> bool:
        """Whether it was built beside the present one and stays."""
        return self.database.startswith((NOW, PAST)) and not _OWNED.fullmatch(self.database)

    @property
    def title(self) -> str:
        """For people."""
        if self.moment is not None:
            return f"as of {self.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {self.clock}"
        return "as built now" if self.database.startswith(NOW) else f"database {self.database}"


def existing(client: Client, database: str) -> State | None:
    """The state in a database of that name; None when there is no such database."""
    found = client.query(
        "SELECT comment FROM system.databases WHERE name = {name:String}",
        parameters={"name": database},
    ).result_rows
    if not found:
        return None
    told = json.loads(found[0][0]) if found[0][0].startswith('{"as_of"') else {}
    moment = datetime.fromisoformat(told["as_of"]) if told.get("as_of") else None
    return State(database, moment, told.get("clock", "known_at"))


def databases(client: Client) -> list[str]:
    """Databases that may hold marts."""
    told = client.query("SELECT name FROM system.databases ORDER BY name").result_rows
    own = {"system", "default", "information_schema"}
    return [name for (name,) in told if name.lower() not in own]


@contextmanager
def built(
    settings: Settings,
    client: Client,
    model: str,
    moment: datetime | None,
    clock: Clock,
    *,
    keep: bool = False,
    project: Path = dbt.PROJECT,
    progress: Progress | None = None,
) -> Iterator[State]:
    """The model and all it is made of, but staging, built as known at `moment` (None: now).

    They stand in a database of their own, which is dropped at the end unless it is to be kept. A
    kept one is named by moment and clock and built again by the next call with the same.

    Raises:
        PlatformError: dbt can't build it; the message is dbt's.
    """
    name = NOW if moment is None else f"{PAST}{_stamp(moment)}_{clock}"
    if not keep:
        name = own(name)
    client.command(f"CREATE DATABASE IF NOT EXISTS {name} COMMENT '{comment(moment, clock)}'")
    target = settings.home / "dbt" / name
    state = State(name, moment, clock)
    try:
        process = dbt.start(settings, *_arguments(model, state), project=project, target=target)
        _follow(process, progress, f"{model} can't be built: {state.title}")
        yield state
    finally:
        shutil.rmtree(target, ignore_errors=True)
        if not keep:
            client.command(f"DROP DATABASE {name}")


def comment(moment: datetime | None, clock: Clock) -> str:
    """What a database says of the state in it, for `existing`."""
    return json.dumps({"as_of": moment and moment.isoformat(), "clock": clock})


def own(name: str) -> str:
    """The name of a database for the time of this process."""
    return f"{name}__{os.getpid()}"


def drop_left_over(settings: Settings, client: Client) -> None:
    """Drop the databases of processes that were killed; only a local server's can be told."""
    import psutil

    if not settings.embedded_warehouse:
        return
    for (name,) in client.query("SELECT name FROM system.databases").result_rows:
        owned = _OWNED.fullmatch(name)
        if owned and not psutil.pid_exists(int(owned[1])):
            client.command(f"DROP DATABASE {name}")


def _arguments(model: str, state: State) -> list[str]:
    variables: dict[str, Any] = {"into": state.database, "as_of_clock": state.clock}
    if state.moment is not None:
        variables["as_of"] = f"{state.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    chosen = ["--select", f"+{model}", "--exclude", "path:models/staging"]
    return ["run", *chosen, "--vars", json.dumps(variables)]


def _follow(process: subprocess.Popen[str], progress: Progress | None, failure: str) -> None:
    """Wait for dbt, reporting every model that is done."""
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            done = _MODEL_DONE.search(line)
            if done and progress is not None:
                progress("models", int(done[1]), int(done[2]))
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    if process.returncode:
        raise PlatformError(f"{failure}:\n{''.join(said[-30:]).strip()}")


def _stamp(moment: datetime) -> str:
    stamp = f"{moment.astimezone(UTC):%Y%m%dT%H%M%S}"
    return f"{stamp}_{moment.microsecond:06}" if moment.microsecond else stamp
