"""`make up` as a person uses it: all pages answer, Ctrl-C ends everything, errors name ports."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stock_platform.cli.up import record, services_of
from stock_platform.settings import PROJECT_ROOT
from stock_platform.supervisor import answers, running, stop_left_over
from tests.support.platform import Platform, free_port


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    ports = {name: str(free_port()) for name in ("DAGSTER", "MLFLOW", "DOCS", "PAGES")}
    variables = {f"STOCK_PLATFORM_{name}_PORT": port for name, port in ports.items()}
    one = Platform(tmp_path / "home", variables)
    yield one
    stop_left_over(record(one.settings))
    one.down()


def start_up(platform: Platform) -> subprocess.Popen[str]:
    platform.home.mkdir(parents=True, exist_ok=True)
    with (platform.home.parent / "up.log").open("w") as log:
        return subprocess.Popen(
            ["stock-platform", "up"],
            cwd=PROJECT_ROOT,
            env=platform.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def output(platform: Platform) -> str:
    return (platform.home.parent / "up.log").read_text()


def wait_until_all_answer(up: subprocess.Popen[str], platform: Platform) -> None:
    deadline = time.monotonic() + 180
    while "everything answers" not in output(platform):
        assert up.poll() is None, output(platform)
        assert time.monotonic() < deadline, output(platform)
        time.sleep(0.5)


def family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_all_pages_answer_and_ctrl_c_leaves_nothing(platform: Platform) -> None:
    settings = platform.settings
    up = start_up(platform)
    wait_until_all_answer(up, platform)
    for url in (
        f"http://127.0.0.1:{settings.dagster_port}/server_info",
        f"http://127.0.0.1:{settings.mlflow_port}/",
        f"http://127.0.0.1:{settings.docs_port}/health",
        f"http://127.0.0.1:{settings.pages_port}/_stcore/health",
        f"http://127.0.0.1:{settings.warehouse_port}/ping",
    ):
        assert answers(url, 10), url

    again = platform.command("stock-platform", "up", check=False)
    assert again.returncode == 1
    assert f"pid {up.pid}" in again.stderr

    report = json.loads(platform.command("stock-platform", "doctor", "--json", check=False).stdout)
    found = {check["name"]: check for check in report["checks"]}
    assert found["make up"]["what"] == f"running (pid {up.pid})"
    assert found["warehouse"]["state"] == found["warehouse reader"]["state"] == "ok"
    passwords = json.loads((settings.home / "warehouse" / "credentials.json").read_text())
    for text in (json.dumps(report), output(platform)):
        assert not any(password in text for password in passwords.values())

    processes = family(up.pid)
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0, output(platform)
    assert not alive(processes)
    assert not record(settings).exists()


@pytest.mark.slow
def test_a_killed_service_stops_all_and_is_named(platform: Platform) -> None:
    up = start_up(platform)
    wait_until_all_answer(up, platform)
    processes = family(up.pid)
    web = next(p for p in processes if "dagster_webserver" in p.cmdline())
    web.kill()
    assert up.wait(60) == 1
    assert "error: dagster stopped by itself (exit code -9)" in output(platform)
    assert not alive(processes)


@pytest.mark.slow
def test_a_warehouse_that_runs_already_is_used_and_left_alone(platform: Platform) -> None:
    warehouse = platform.start("stock-platform", "warehouse")
    try:
        url = f"http://127.0.0.1:{platform.port}/ping"
        deadline = time.monotonic() + 60
        while not answers(url):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        up = start_up(platform)
        wait_until_all_answer(up, platform)
        assert "the warehouse already runs" in output(platform)
        own = services_of(platform.settings, with_warehouse=False)
        assert len(running(record(platform.settings))[1]) == len(own)
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0
        assert answers(url)
    finally:
        os.killpg(warehouse.pid, signal.SIGTERM)
        warehouse.communicate()


def test_a_taken_port_is_refused_before_anything_starts(platform: Platform) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", platform.settings.dagster_port))
        other.listen()
        refused = platform.command("stock-platform", "up", check=False)
    assert refused.returncode == 1
    assert f"port {platform.settings.dagster_port} " in refused.stderr
    assert "STOCK_PLATFORM_DAGSTER_PORT" in refused.stderr
    assert not platform.home.exists()


def test_production_starts_nothing(platform: Platform) -> None:
    platform.variables["STOCK_PLATFORM_ENVIRONMENT"] = "production"
    refused = platform.command("stock-platform", "up", check=False)
    assert refused.returncode == 1
    assert "docker/compose.yaml" in refused.stderr


def test_an_old_or_missing_python_is_refused_with_the_mend(tmp_path: Path) -> None:
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for python in (old, tmp_path / "no-such-python"):
        refused = subprocess.run(
            ["make", f"VENV={tmp_path}/venv", f"PYTHON={python}", f"{tmp_path}/venv/bin/python"],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode != 0
        assert "older than Python 3.11" in refused.stderr
        assert "PYTHON=python3.12" in refused.stderr


@pytest.mark.parametrize(("given", "passed"), [([], False), (["SOURCE=simulated"], True)])
def test_source_reaches_the_command_only_when_given(given: list[str], passed: bool) -> None:
    planned = subprocess.run(
        ["make", "-pn", "run", *given], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ("STOCK_PLATFORM_SOURCE" in planned) is passed
    assert f"DAGSTER_HOME := {PROJECT_ROOT}" in planned
