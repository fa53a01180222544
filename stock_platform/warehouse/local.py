"""The local warehouse server seen from outside: start it when needed, stop it, say how it is.

Every user of the server holds a shared lock while it works, so the last one out stops a server
that was started on demand, and a stale state file of a killed server is never believed.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from stock_platform.settings import Settings

START_SECONDS = 60
STOP_SECONDS = 30


@dataclass(frozen=True)
class LocalWarehouse:
    """A running local server."""

    pid: int
    host: str
    port: int
    started_at: str
    on_demand: bool

    @property
    def url(self) -> str:
        """Its address, `http://host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def directory(settings: Settings) -> Path:
    """Where the local server keeps its data, passwords, state and log."""
    return settings.home / "warehouse"


def status(settings: Settings) -> LocalWarehouse | None:
    """The server that runs on this home now, or None.

    The server's lock decides, not its state file: the file survives a `kill -9`, the lock doesn't.
    """
    return _running(directory(settings))


@contextmanager
def ensure_running(settings: Settings) -> Iterator[LocalWarehouse]:
    """The local server, started when it is not running; the last user stops what was started.

    Raises:
        PlatformError: it can't start; the message is the server's own.
    """
    if settings.environment == "production":
        raise PlatformError(
            "no local warehouse in production: set STOCK_PLATFORM_CLICKHOUSE_URL to a server"
        )
    where = directory(settings)
    where.mkdir(parents=True, exist_ok=True)
    with (where / "users.lock").open("a") as users:
        with _changing(where):
            fcntl.flock(users, fcntl.LOCK_SH)
            server = _running(where) or _start(where, settings)
        try:
            yield server
        finally:
            with _changing(where):
                fcntl.flock(users, fcntl.LOCK_UN)
                _stop_when_unused(where, users.fileno())


def stop(settings: Settings) -> LocalWarehouse | None:
    """Stop the server of this home, whoever started it; what was stopped, or None.

    Raises:
        PlatformError: it does not stop.
    """
    where = directory(settings)
    if not where.exists():
        return None
    with _changing(where):
        server = _running(where)
        if server is not None:
            _stop(where, server)
        return server


@contextmanager
def _changing(where: Path) -> Iterator[None]:
    """Held while the server is being started or stopped, by one process at a time."""
    with (where / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stop_when_unused(where: Path, users: int) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    server = _running(where)
    if server is not None and server.on_demand:
        _stop(where, server)


def _start(where: Path, settings: Settings) -> LocalWarehouse:
    log = where / "server.log"
    command = [sys.executable, "-m", "stock_platform.warehouse.server", "--on-demand"]
    command += ["--directory", str(where), "--host", settings.warehouse_host]
    command += ["--port", str(settings.warehouse_port)]
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        server = _running(where)
        if server is not None and server.pid == process.pid and _answers(server):
            return server
        if ended:
            break
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
    said = log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
    raise PlatformError(
        said[-1] if said else f"the warehouse server did not start within {START_SECONDS} s: {log}"
    )


def _stop(where: Path, server: LocalWarehouse) -> None:
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _locked(where):
        if time.monotonic() > deadline:
            raise PlatformError(
                f"the warehouse server (pid {server.pid}) does not stop: see "
                f"{where / 'server.log'}, or `kill -9 {server.pid}` (no acknowledged row is lost)"
            )
        time.sleep(0.02)
    with suppress(ChildProcessError):
        os.waitpid(server.pid, 0)


def _running(where: Path) -> LocalWarehouse | None:
    if not _locked(where):
        return None
    try:
        state = json.loads((where / "server.json").read_text())
        return LocalWarehouse(**state)
    except (OSError, ValueError, TypeError):
        return None


def _locked(where: Path) -> bool:
    """Whether a server process holds this directory."""
    try:
        with (where / "server.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _answers(server: LocalWarehouse) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{server.url}/ping", timeout=2) as answer:
            return bool(answer.read() == b"Ok.\n")
    except (urllib.error.URLError, OSError):
        return False
