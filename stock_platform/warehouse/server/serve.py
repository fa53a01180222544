"""The server's life: lock the directory, take the port, open the engine, serve, stop cleanly."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from stock_platform.errors import PlatformError
from stock_platform.warehouse import credentials
from stock_platform.warehouse.server.errors import ServerError
from stock_platform.warehouse.server.limits import Limits

log = logging.getLogger(__name__)

STOP_SECONDS = 10


def serve(
    directory: Path,
    host: str,
    port: int,
    *,
    on_demand: bool = False,
    limits: Limits | None = None,
    stop_seconds: int = STOP_SECONDS,
) -> None:
    """Serve the warehouse of a directory until SIGTERM or SIGINT.

    Args:
        directory: holds `data/`, `credentials.json`, `server.json`, `server.lock`.
        host: address to listen on, loopback unless there is a reason.
        port: 0 picks a free one; `server.json` tells which.
        on_demand: whether the last command that needs the server may stop it.
        limits: memory of a query; default 4 GiB, the reader's 2 GiB.
        stop_seconds: how long running queries may go on after a request to stop.

    Raises:
        PlatformError: the directory is in use, damaged or not writable, or the port is taken.
    """
    directory = directory.resolve()
    with _locked(directory), _listening(host, port) as listener:
        passwords = credentials.load_or_create(directory)
        _run(
            directory,
            listener,
            passwords,
            on_demand=on_demand,
            limits=limits or Limits(),
            stop_seconds=stop_seconds,
        )


def _run(
    directory: Path,
    listener: socket.socket,
    passwords: dict[str, str],
    *,
    on_demand: bool,
    limits: Limits,
    stop_seconds: int,
) -> None:
    import uvicorn

    from stock_platform.warehouse.server.app import create_app
    from stock_platform.warehouse.server.engine import Engine

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    try:
        engine = Engine(directory)
    except ServerError as error:
        raise PlatformError(
            f"the engine can't open {directory / 'data'}: {error.text} "
            "(move that directory away to begin with an empty warehouse)"
        ) from None
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        create_app(engine, passwords, limits),
        http="httptools",
        loop="asyncio",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=stop_seconds,
    )
    state = directory / "server.json"
    content = {
        "pid": os.getpid(),
        "host": host,
        "port": port,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "on_demand": on_demand,
    }
    written = state.with_suffix(".json.new")
    written.write_text(json.dumps(content) + "\n")
    written.replace(state)
    log.info("warehouse of %s on http://%s:%d", directory, host, port)
    if not ip_address(host.partition("%")[0]).is_loopback:
        log.warning("other machines can reach it, and passwords travel to it unencrypted")
    # uvicorn raises the signal that stopped it once more when it is done: nothing is left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        state.unlink(missing_ok=True)
        log.info("warehouse stopped")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "server.lock").open("a")
    except OSError as error:
        raise PlatformError(
            f"can't keep a warehouse in {directory} ({error.strerror}): choose a directory this "
            "user may write, with --data-dir or STOCK_PLATFORM_HOME"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PlatformError(_already_running(directory)) from None
        # What a killed server left behind describes nobody.
        (directory / "server.json").unlink(missing_ok=True)
        yield


def _already_running(directory: Path) -> str:
    try:
        state = json.loads((directory / "server.json").read_text())
        who = f"pid {state['pid']}, http://{state['host']}:{state['port']}"
    except (OSError, ValueError, KeyError):
        who = "it is just starting or stopping"
    return (
        f"a warehouse server already runs on {directory} ({who}): use it, or stop it with "
        "`stock-platform down`"
    )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    if not 0 <= port < 1 << 16:
        raise PlatformError(f"port {port} does not exist: choose one up to 65535, 0 for a free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise PlatformError(
            f"can't resolve the warehouse host {host!r} ({error.strerror}): "
            "set STOCK_PLATFORM_WAREHOUSE_HOST to an address of this machine"
        ) from None
    with socket.socket(family, kind, proto) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise PlatformError(_cannot_bind(host, port, error)) from None
        yield listener


def _cannot_bind(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by another program: stop that program or choose "
            "another port with STOCK_PLATFORM_WAREHOUSE_PORT"
        )
    return (
        f"can't listen on {host}:{port} ({error.strerror}): set STOCK_PLATFORM_WAREHOUSE_HOST "
        "and STOCK_PLATFORM_WAREHOUSE_PORT to an address this machine may use"
    )
