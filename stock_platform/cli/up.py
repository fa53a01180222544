"""`stock-platform up`: warehouse, Dagster, MLflow, app, dbt docs and Superset, one supervisor.

Which services there are and where they listen; how they are kept together is `supervisor.py`.
"""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stock_platform.errors import PlatformError
from stock_platform.settings import PREFIX, PROJECT_ROOT, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stock_platform.supervisor import Service


def register(app: typer.Typer) -> None:
    """Add the command to the console script."""

    @app.command()
    def up() -> None:
        """Serve warehouse, app, Dagster, MLflow, dbt docs and (once installed) Superset."""
        serve(load_settings())


def serve(settings: Settings) -> None:
    """Run all services until a signal.

    Raises:
        PlatformError: a port is taken, something already runs, or a service ended by itself.
    """
    from stock_platform.supervisor import Supervisor, running
    from stock_platform.warehouse import local

    if settings.environment == "production":
        raise PlatformError(
            "`up` runs the embedded services, which production refuses: use docker/compose.yaml, "
            f"or unset {PREFIX}ENVIRONMENT"
        )
    supervisor, services = running(record(settings))
    if supervisor or services:
        state = (
            f"runs already (pid {supervisor})" if supervisor else "left services of a killed run"
        )
        raise PlatformError(f"`up` {state}: `stock-platform down` stops it")
    with ExitStack() as stack:
        reused = settings.embedded_warehouse and local.status(settings) is not None
        if reused:  # the lock keeps a server that was started on demand from leaving
            server = stack.enter_context(local.ensure_running(settings))
            typer.echo(f"the warehouse already runs at {server.url}")
        check_ports(claimed_ports(settings, with_warehouse=not reused))
        settings.home.mkdir(parents=True, exist_ok=True)
        prepare_dagster(settings)
        Supervisor(
            services_of(settings, with_warehouse=not reused),
            record(settings),
            environment(settings),
            PROJECT_ROOT,
        ).run(_reused_warehouse_watch(settings) if reused else lambda: None)


def prepare_dagster(settings: Settings) -> None:
    """Create Dagster's databases once: web server and daemon, both new, would race and fail.

    Raises:
        PlatformError: Dagster can't create them; the message is its own.
    """
    if (settings.home / "dagster" / "schedules" / "schedules.db").exists():
        return
    code = "from dagster import DagsterInstance; DagsterInstance.get().dispose()"
    made = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise PlatformError(f"Dagster can't create its databases:\n{made.stderr.strip()}")


def environment(settings: Settings) -> dict[str, str]:
    """The environment of the services: ours, with what they need where it is not set."""
    return {
        # Not on its command line, where anybody on the machine could read a password in it.
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_tracking,
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # nothing here uses its job queue
        **os.environ,
    }


def record(settings: Settings) -> Path:
    """The file that names the processes of a running `up`."""
    return settings.home / "up.json"


def services_of(settings: Settings, *, with_warehouse: bool) -> "Sequence[Service]":
    """What to start; services that are elsewhere by URL are left out."""
    from stock_platform.supervisor import Service
    from stock_platform.warehouse import local

    python = sys.executable
    workspace = str(PROJECT_ROOT / "workspace.yaml")
    dagster = _loopback(settings.dagster_port)
    found = []
    if with_warehouse and settings.embedded_warehouse:
        address = f"http://{settings.warehouse_host}:{settings.warehouse_port}"
        command = [python, "-m", "stock_platform.warehouse.server"]
        command += ["--directory", str(local.directory(settings))]
        command += ["--host", settings.warehouse_host, "--port", str(settings.warehouse_port)]
        found.append(Service("warehouse", command, "Warehouse", address, f"{address}/ping"))
    if serves_mlflow(settings):
        address = _loopback(settings.mlflow_port)
        command = [python, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1"]
        command += ["--port", str(settings.mlflow_port)]
        command += ["--no-serve-artifacts"]
        command += ["--default-artifact-root", f"{settings.lake_root}/mlflow"]
        command += ["--uvicorn-opts", "--log-level warning"]
        found.append(Service("mlflow", command, "MLflow", address, f"{address}/health"))
    web = [python, "-m", "dagster_webserver", "-w", workspace, "-h", "127.0.0.1"]
    web += ["-p", str(settings.dagster_port), "--log-level", "warning"]
    found.append(Service("dagster", web, "Dagster", dagster, f"{dagster}/server_info"))
    daemon = [python, "-m", "dagster._daemon", "run", "-w", workspace, "--log-level", "warning"]
    found.append(Service("daemon", daemon, "Dagster daemon"))
    docs = [python, "-m", "stock_platform.warehouse.docs_page", "--port", str(settings.docs_port)]
    address = _loopback(settings.docs_port)
    found.append(Service("docs", docs, "dbt docs", address, f"{address}/health"))
    pages = [python, "-m", "stock_platform.pages", "--port", str(settings.pages_port)]
    address = _loopback(settings.pages_port)
    found.append(Service("pages", pages, "App", address, f"{address}/_stcore/health"))
    if serves_superset(settings):
        found.append(superset_service(settings))
    return found


def superset_service(settings: Settings) -> "Service":
    """Superset's pages; the first start makes its database, which takes half a minute."""
    from stock_platform.superset import service
    from stock_platform.supervisor import Service

    address = service.address(settings)
    command = [sys.executable, "-m", "stock_platform.superset"]
    return Service("superset", command, "Superset", address, f"{address}/health")


def serves_superset(settings: Settings) -> bool:
    """Whether `up` serves Superset: once `make superset` installed it, unless it is elsewhere."""
    from stock_platform.superset import service

    return service.is_installed() and not settings.superset_url


def serves_mlflow(settings: Settings) -> bool:
    """Whether `up` serves MLflow's pages: not when they are a server's already."""
    return not settings.mlflow_tracking.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Claim:
    """A port that `up` will listen on, and the setting that moves it."""

    host: str
    port: int
    setting: str


def claimed_ports(settings: Settings, *, with_warehouse: bool = True) -> list[Claim]:
    """Every port that `up` listens on with these settings."""
    claims = [
        Claim("127.0.0.1", settings.dagster_port, f"{PREFIX}DAGSTER_PORT"),
        Claim("127.0.0.1", settings.docs_port, f"{PREFIX}DOCS_PORT"),
        Claim("127.0.0.1", settings.pages_port, f"{PREFIX}PAGES_PORT"),
    ]
    if serves_mlflow(settings):
        claims.append(Claim("127.0.0.1", settings.mlflow_port, f"{PREFIX}MLFLOW_PORT"))
    if serves_superset(settings):
        claims.append(Claim("127.0.0.1", settings.superset_port, f"{PREFIX}SUPERSET_PORT"))
    if with_warehouse and settings.embedded_warehouse:
        claims.append(
            Claim(settings.warehouse_host, settings.warehouse_port, f"{PREFIX}WAREHOUSE_PORT")
        )
    return claims


def check_ports(claims: "Sequence[Claim]") -> None:
    """Refuse to start on a port that is taken.

    Raises:
        PlatformError: names the port, its present owner where it can be seen, and the setting.
    """
    seen: dict[int, str] = {}
    for claim in claims:
        if claim.port in seen:
            raise PlatformError(
                f"{seen[claim.port]} and {claim.setting} are both {claim.port}: change one"
            )
        seen[claim.port] = claim.setting
        if not port_is_free(claim.host, claim.port):
            raise PlatformError(
                f"port {claim.port} of {claim.host} is taken{_owner(claim.port)}: stop that "
                f"program or set {claim.setting} to a free port"
            )


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # another user's process can't be seen
        return ""
    return ""


def _reused_warehouse_watch(settings: Settings) -> "Callable[[], str | None]":
    from stock_platform.warehouse import local

    def watch() -> str | None:
        if local.status(settings) is None:
            return "the warehouse that ran before `up` has stopped, so everything was stopped"
        return None

    return watch


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"
