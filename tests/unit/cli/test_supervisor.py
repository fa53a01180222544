"""The supervisor with small stand-in services: real processes, no platform."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from stock_platform import supervisor
from stock_platform.settings import PROJECT_ROOT
from tests.support.platform import free_port

RUN = """
import sys
from pathlib import Path
from stock_platform.errors import PlatformError
from stock_platform.supervisor import Service, Supervisor
import os
services = [eval(line) for line in Path(sys.argv[1]).read_text().splitlines()]
try:
    Supervisor(services, Path(sys.argv[2]), os.environ, Path.cwd()).run()
except PlatformError as error:
    print(f"error: {error}", flush=True)
    raise SystemExit(1)
"""
SLEEP = "import time; time.sleep(600)"
# A service with a child of its own that ignores SIGTERM and keeps the output pipe open.
PARENT = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
    "'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)'"
    "]); print('born', flush=True); time.sleep(600)"
)
# Its child is in a session of its own: no process group reaches it.
LONER = PARENT.replace("])", "], start_new_session=True)", 1)


@dataclass
class Running:
    """A supervisor in a process of its own."""

    process: subprocess.Popen[str]
    record: Path

    def services(self) -> list[int]:
        """The pids of its services, once all have started."""
        wait_for(self.record.exists)
        return supervisor.running(self.record)[1]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code and everything printed."""
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def family(pids: list[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        process = psutil.Process(pid)
        found += [process, *process.children(recursive=True)]
    return found


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(**code: str) -> Running:
        lines = [
            f"Service({name!r}, {[sys.executable, '-c', text]!r}, {name!r})"
            for name, text in code.items()
        ]
        (tmp_path / "services").write_text("\n".join(lines))
        record = tmp_path / "up.json"
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path / "services"), str(record)],
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Running(process, record))
        return started[-1]

    yield begin
    for one in started:
        supervisor.stop_left_over(one.record)
        with suppress(ProcessLookupError):
            one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_service_and_is_a_normal_end(
    start: Callable[..., Running], number: int
) -> None:
    up = start(one=SLEEP, two=SLEEP)
    processes = family(up.services())
    code, output = up.end(number)
    assert code == 0, output
    assert not alive(processes)
    assert not up.record.exists()


def test_one_death_stops_the_rest_and_is_named(start: Callable[..., Running]) -> None:
    up = start(steady=SLEEP, frail="import time; time.sleep(2); raise SystemExit(7)")
    processes = family(up.services())
    output, _ = up.process.communicate(timeout=30)
    assert up.process.returncode == 1
    assert "error: frail stopped by itself (exit code 7)" in output
    assert not alive(processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(PARENT, id="same group", marks=pytest.mark.slow),
        pytest.param(LONER, id="own session"),
    ],
)
def test_a_grandchild_outlives_neither_a_kill_nor_the_end(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    up = start(steady=SLEEP, parent=code)
    main = up.services()[1]
    wait_for(lambda: len(psutil.Process(main).children()) == 1)
    time.sleep(1)  # the supervisor looks around twice a second
    processes = family(up.services())
    os.kill(main, signal.SIGKILL)
    output, _ = up.process.communicate(timeout=60)
    assert up.process.returncode == 1
    assert "error: parent stopped by itself (exit code -9)" in output
    assert not alive(processes)


def test_what_a_killed_supervisor_left_is_found_and_stopped(start: Callable[..., Running]) -> None:
    up = start(one=SLEEP, two=SLEEP)
    processes = family(up.services())
    up.process.kill()
    up.process.wait()
    assert supervisor.running(up.record) == (None, [p.pid for p in processes])
    assert supervisor.stop_left_over(up.record)
    assert not alive(processes)
    assert not supervisor.stop_left_over(up.record)


def test_a_reused_pid_is_not_ours(tmp_path: Path) -> None:
    record = tmp_path / "up.json"
    me = os.getpid()
    record.write_text(f'{{"supervisor": [{me}, 1.0], "services": [[{me}, 1.0]]}}')
    assert supervisor.running(record) == (None, [])
    assert not supervisor.stop_left_over(record)


def test_answers_only_to_200(tmp_path: Path) -> None:
    port = free_port()
    assert not supervisor.answers(f"http://127.0.0.1:{port}/")
    serving = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: supervisor.answers(f"http://127.0.0.1:{port}/"))
        assert not supervisor.answers(f"http://127.0.0.1:{port}/missing")
    finally:
        serving.kill()
        serving.wait()
