"""A platform in a temporary home, driven through its console script as a user would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from stock_platform.settings import PROJECT_ROOT, Settings

BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Platform:
    """One home and the settings that go with it."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of every command; nothing of the caller's own platform leaks in."""
        mine = {k: v for k, v in os.environ.items() if not k.startswith("STOCK_PLATFORM_")}
        return {
            **mine,
            "STOCK_PLATFORM_HOME": str(self.home),
            "STOCK_PLATFORM_WAREHOUSE_PORT": str(self.port),
            "DAGSTER_HOME": str(PROJECT_ROOT),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **self.variables,
        }

    @property
    def settings(self) -> Settings:
        """The same settings as an object, for looking at the platform from the test."""
        fields = {
            name.removeprefix("STOCK_PLATFORM_").lower(): value
            for name, value in self.environment.items()
            if name.startswith("STOCK_PLATFORM_")
        }
        return Settings.model_validate(fields)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, its error output readable by line."""
        return subprocess.Popen(
            command,
            cwd=PROJECT_ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def command(
        self, *command: str, check: bool = True, timeout: float = 580
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; a failure shows what it printed."""
        done = subprocess.run(
            command,
            cwd=PROJECT_ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            printed = f"{done.stdout}\n{done.stderr}"
            raise AssertionError(f"{command} exited {done.returncode}\n{printed}")
        return done

    def run(self, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`stock-platform run`."""
        return self.command("stock-platform", "run", check=check)

    def down(self) -> None:
        """Stop whatever runs in this home."""
        self.command("stock-platform", "down", check=False)

    def warehouse_pid(self) -> int | None:
        """Process id of the local warehouse server, None when it isn't running."""
        state = self.home / "warehouse" / "server.json"
        return int(json.loads(state.read_text())["pid"]) if state.exists() else None

    def kill_when(self, process: subprocess.Popen[str], stage: str, seconds: float) -> None:
        """`kill -9` the process `seconds` after it begins `stage`, in which it must still be."""
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{stage}:"):
                assert "up to date" not in line, f"{stage} was finished before it could be killed"
                break
        else:
            raise AssertionError(f"the run ended without reaching {stage}")
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        printed = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
        assert f"{stage}: done" not in printed, f"{stage} ended before it could be killed"
