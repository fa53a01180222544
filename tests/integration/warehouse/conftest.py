"""A warehouse server of the test's own: spawned on a free port, stopped by its process id."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Server:
    """A running server process and how to talk to it."""

    directory: Path
    process: subprocess.Popen[bytes]
    host: str
    port: int
    passwords: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, user: str = "default", **options: object):
        import clickhouse_connect
        from clickhouse_connect.driver.httputil import get_pool_manager

        return clickhouse_connect.get_client(
            host=self.host,
            port=self.port,
            username=user,
            password=self.passwords[user],
            pool_mgr=get_pool_manager(),
            **options,
        )

    def request(
        self,
        body: str | bytes | None = None,
        *,
        user: str | None = "default",
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] | None = None,
        **parameters: object,
    ):
        """One plain HTTP request."""
        import requests

        session = requests.Session()
        session.trust_env = False
        with session:
            return session.request(
                method,
                self.url + path,
                params=parameters,
                data=body.encode() if isinstance(body, str) else body,
                headers=headers,
                auth=(user, self.passwords[user]) if user else None,
                timeout=60,
            )

    def resident_bytes(self) -> int:
        """Resident memory of the process."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def start(directory: Path, *arguments: str) -> Server:
    """Spawn a server and wait until it answers."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "stock_platform.warehouse.server", "--port", "0"]
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--directory", str(directory), *arguments], stdout=log, stderr=log
        )
    state = directory / "server.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            found = json.loads(state.read_text())
        except FileNotFoundError:
            found = {}
        if found.get("pid") == process.pid:
            passwords = json.loads((directory / "credentials.json").read_text())
            server = Server(directory, process, found["host"], found["port"], passwords)
            if server.request(user=None, method="GET", path="/ping").text == "Ok.\n":
                return server
        time.sleep(0.02)
    process.kill()
    raise AssertionError((directory / "server.log").read_text())


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Server]:
    """A server for the length of a block, killed at its end if it still lives."""
    server = start(directory, *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(60)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that leave it as they found it."""
    with running(tmp_path_factory.mktemp("warehouse")) as found:
        yield found


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """An empty database of the test's own."""
    import uuid

    name = f"test_{uuid.uuid4().hex[:12]}"
    server.request(f"CREATE DATABASE {name}").raise_for_status()
    yield name
    server.request(f"DROP DATABASE {name}").raise_for_status()
