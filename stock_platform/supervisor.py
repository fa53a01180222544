"""Runs a few services together: honcho starts them and mixes their output, this adds the rest.

The rest: addresses announced when they answer, one death stops all, nothing survives (not even a
grandchild whose parent was killed), and a record for `stock-platform down`. Which services there
are is `cli/up.py`'s business.
"""

import datetime
import json
import os
import shlex
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from honcho import manager as honcho_manager
from honcho.printer import Message

from stock_platform.errors import PlatformError

STOP_SECONDS = 20
"""How long a service may take to end after SIGTERM before it is killed."""
ORPHAN_SECONDS = 3
"""The same for what a dead service left behind."""
SLOW_SECONDS = 120
"""After this long a service that does not answer yet is named."""

honcho_manager.KILL_WAIT = STOP_SECONDS


@dataclass(frozen=True)
class Service:
    """A process to supervise; `probe` is an URL that answers 200 when it is ready."""

    name: str
    command: Sequence[str]
    title: str
    address: str = ""
    probe: str = ""


def answers(url: str, timeout_seconds: float = 2) -> bool:
    """Whether a GET of `url` gives 200, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_seconds) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


class Supervisor(honcho_manager.Manager):  # type: ignore[misc]
    """Runs services until one ends or a signal arrives, then ends them all."""

    returncode: int | None

    def __init__(
        self,
        services: Sequence[Service],
        record: Path,
        environment: Mapping[str, str],
        folder: Path,
    ) -> None:
        """Prepare.

        Args:
            services: what to start.
            record: file that names the running processes for `stop_left_over`.
            environment: the whole environment of the services.
            folder: their working directory.
        """
        super().__init__()
        self.services = services
        self.record = record
        self.stopped_by_itself: dict[str, int] = {}
        self._families: dict[int, dict[int, float]] = {}
        self._stop_wanted = False
        self._finished = threading.Event()
        for service in services:
            command = f"exec {shlex.join(service.command)}"
            self.add_process(service.name, command, env=dict(environment), cwd=str(folder))

    def run(self, watch: Callable[[], str | None] = lambda: None) -> None:
        """Start everything and return when everything has ended; a signal is a normal end.

        Args:
            watch: asked again and again; a sentence means that something outside failed and
                everything has to stop.

        Raises:
            PlatformError: a service ended by itself, or `watch` said why.
        """
        failures: list[str] = []
        watcher = threading.Thread(target=self._watch, args=(watch, failures), daemon=True)
        self._watcher = watcher
        previous = signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        try:
            self.loop()
        finally:
            self._finished.set()
            watcher.join()
            self._remember_family()
            _end(self._everyone(), ORPHAN_SECONDS)
            self.record.unlink(missing_ok=True)
            signal.signal(signal.SIGHUP, previous)
        if failures:
            raise PlatformError(failures[0])
        for name, code in self.stopped_by_itself.items():
            raise PlatformError(
                f"{name} stopped by itself (exit code {code}), so everything was stopped; its last "
                "lines above say why, `stock-platform doctor` what to mend"
            )

    def say(self, line: str) -> None:
        """Print a line of our own among the services' output; callable from any thread."""
        now = datetime.datetime.now()  # noqa: DTZ005 - honcho's local clock
        self.events.put(
            Message(type="line", data=f"{line}\n", time=now, name="system", colour=None)
        )

    # What follows completes honcho's Manager, in the methods it calls itself.

    def _start(self) -> None:
        super()._start()
        self._watcher.start()  # only now: a fork beside running threads may inherit held locks

    def terminate(self) -> None:
        """End all services; the first call decides whether it was asked for or a failure."""
        if not self._all_started():  # honcho knows no pid yet: the watcher repeats the call
            self._stop_wanted = True
            return
        if not self._terminating and self.returncode not in {130, 143}:
            self.stopped_by_itself = {
                name: process["returncode"]
                for name, process in self._processes.items()
                if process.get("returncode") is not None
            }
        super().terminate()

    def _watch(self, watch: Callable[[], str | None], failures: list[str]) -> None:
        waiting = {service.name: service for service in self.services if service.probe}
        began, recorded, slow_said, deadline = time.monotonic(), False, False, float("inf")
        while not self._finished.wait(0.5):
            if not self._all_started():
                continue
            self._remember_family()
            if not recorded:
                self._write_record()
                recorded = True
            reason = None if self._terminating else watch()
            if reason:
                failures.append(reason)
            if (reason or self._stop_wanted) and not self._terminating:
                self.returncode = self.returncode or 143
                self.terminate()
            if self._terminating:
                deadline = min(deadline, time.monotonic() + STOP_SECONDS)
                if time.monotonic() > deadline:
                    _end(self._everyone(), 0)
                continue
            self._release_pipes_of_the_dead()
            for service in [s for s in waiting.values() if answers(s.probe)]:
                del waiting[service.name]
                self.say(f"{service.title}: {service.address}")
                if not waiting:
                    self._announce_all()
            if waiting and not slow_said and time.monotonic() - began > SLOW_SECONDS:
                slow_said = True
                self.say(f"still no answer after {SLOW_SECONDS} s from {', '.join(waiting)}")

    def _announce_all(self) -> None:
        self.say("everything answers; Ctrl-C stops all:")
        for service in self.services:
            if service.address:
                self.say(f"  {service.title:<10} {service.address}")

    def _mains(self) -> list[int]:
        return [process["pid"] for process in self._processes.values() if process.get("pid")]

    def _remember_family(self) -> None:
        """Note every descendant with its start time, so that a reused pid is never killed."""
        for pid in self._mains():
            self._families.setdefault(pid, {}).update(_family(pid))

    def _everyone(self) -> dict[int, float]:
        return {pid: began for family in self._families.values() for pid, began in family.items()}

    def _release_pipes_of_the_dead(self) -> None:
        """End what a dead service left.

        honcho notices a death only when the output pipe closes, which a grandchild may hold open.
        """
        for pid in self._mains():
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                    _end(self._families[pid], ORPHAN_SECONDS)

    def _write_record(self) -> None:
        me = psutil.Process()
        content: dict[str, Any] = {
            "supervisor": [me.pid, me.create_time()],
            "services": [[pid, psutil.Process(pid).create_time()] for pid in self._mains()],
        }
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps(content))
        draft.replace(self.record)


def running(record: Path) -> tuple[int | None, list[int]]:
    """The supervisor's pid, if it lives, and the pids of services that still run."""
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError):
        return None, []
    supervisor = _alive(*content["supervisor"])
    services = [pid for pid, began in content["services"] if _alive(pid, began)]
    return (supervisor.pid if supervisor else None), services


def stop_left_over(record: Path) -> bool:
    """Stop a supervisor and its services, also those that a killed one left; False if none ran."""
    supervisor, services = running(record)
    family: dict[int, float] = {}
    for pid in services:
        family.update(_family(pid))
    if supervisor is not None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(supervisor)
            process.terminate()
            try:
                process.wait(STOP_SECONDS + ORPHAN_SECONDS + 5)
            except psutil.TimeoutExpired:
                process.kill()
    _end(family, STOP_SECONDS)
    record.unlink(missing_ok=True)
    return supervisor is not None or bool(services)


def _family(pid: int) -> dict[int, float]:
    """Process `pid` and its descendants with the times they began."""
    found = {}
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        for process in [main, *main.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = process.create_time()
    return found


def _alive(pid: int, began: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - began) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _end(family: Mapping[int, float], patience_seconds: float) -> None:
    """SIGTERM, then SIGKILL after `patience_seconds`, to whatever of `family` still lives."""
    living = [process for pid, began in family.items() if (process := _alive(pid, began))]
    for process in living:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(living, patience_seconds)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, 5)
