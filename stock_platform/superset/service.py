"""The local Superset: its environment, its passwords, how its assets are applied and it is served.

Everything it keeps is in `HOME/superset`. Superset itself runs only in processes of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_platform.errors import PlatformError
from stock_platform.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from stock_platform.settings import Settings

VENV = PROJECT_ROOT / ".venv-superset"
PYTHON = VENV / "bin" / "python"
INSTALLED = VENV / ".installed"
"""Made by `make superset-deps` when everything is installed."""
CONFIGURATION = PROJECT_ROOT / "docker" / "superset" / "superset_config.py"
SCRIPT = PROJECT_ROOT / "docker" / "superset" / "apply_assets.py"
ADMINISTRATOR = "admin"
THREADS = 8


@dataclass(frozen=True)
class Applied:
    """What Superset holds of ours after an import.

    Attributes:
        counts: kind -> number of objects.
        ids: kind -> uuid -> Superset's own id.
        pruned: what was removed because the YAML no longer has it.
    """

    counts: dict[str, int]
    ids: dict[str, dict[str, int]]
    pruned: list[str]


def is_installed() -> bool:
    """Whether `make superset-deps` has been done."""
    return INSTALLED.exists()


def folder(settings: Settings) -> Path:
    """Where Superset keeps its database and passwords; readable by the owner only."""
    return settings.home / "superset"


def credentials_file(settings: Settings) -> Path:
    """The file with the administrator's password."""
    return folder(settings) / "credentials.json"


def credentials(settings: Settings) -> dict[str, str]:
    """`admin` and `secret_key`, made at random on first use.

    Raises:
        PlatformError: the file is damaged.
    """
    path = credentials_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            made = {"admin": secrets.token_urlsafe(18), "secret_key": secrets.token_urlsafe(48)}
            file.write(json.dumps(made) + "\n")
    except FileExistsError:
        path.chmod(0o600)
    try:
        found: dict[str, str] = json.loads(path.read_text())
        return {name: found[name] for name in ("admin", "secret_key")}
    except (ValueError, KeyError, TypeError):
        raise PlatformError(
            f"{path} is damaged: delete it; the next start makes a new password"
        ) from None


def environment(settings: Settings) -> dict[str, str]:
    """The environment of Superset's processes; the warehouse must run.

    None of our own variables: Superset reads nothing of them.
    """
    from stock_platform.warehouse.client import address

    warehouse, own = address(settings, "reader"), credentials(settings)
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("STOCK_PLATFORM_", "PYTHON"))}
    return keep | {
        "SUPERSET_CONFIG_PATH": str(CONFIGURATION),
        "SUPERSET_HOME": str(folder(settings)),
        "SUPERSET_SECRET_KEY": own["secret_key"],
        "SUPERSET_ADMIN_PASSWORD": own["admin"],
        "SUPERSET_WAREHOUSE_HOST": warehouse.host,
        "SUPERSET_WAREHOUSE_PORT": str(warehouse.port),
        "SUPERSET_WAREHOUSE_USER": warehouse.user,
        "SUPERSET_WAREHOUSE_PASSWORD": warehouse.password,
        "SUPERSET_WAREHOUSE_SECURE": "1" if warehouse.secure else "0",
        # Another server's only user may write: asked to read only.
        "SUPERSET_WAREHOUSE_READONLY": "0" if settings.embedded_warehouse else "1",
        "FLASK_APP": "superset.app:create_app()",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
    }


def apply(settings: Settings, files: Mapping[str, str], *, force: bool = False) -> Applied:
    """Bring Superset's metadata to the compiled assets; without a change nothing is started.

    Args:
        settings: whose Superset.
        files: path -> content, of `compile.files`.
        force: apply even what was applied before: takes back what somebody changed by hand.

    Raises:
        PlatformError: Superset is not installed or refuses them; nothing was changed then.
    """
    if not is_installed():
        raise PlatformError(f"Superset is not installed in {VENV}: make superset-deps")
    wanted = _digest(files, credentials(settings)["admin"])
    record = folder(settings) / "applied.json"
    folder(settings).mkdir(parents=True, exist_ok=True)
    with (folder(settings) / "apply.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = _read(record)
        if not force and before.get("digest") == wanted and database(settings).exists():
            return Applied(before["counts"], before["ids"], [])
        done = subprocess.run(
            [str(PYTHON), str(SCRIPT)],
            input=json.dumps(dict(files)),
            capture_output=True,
            text=True,
            env=environment(settings),
            check=False,
        )
        if done.returncode:
            raise PlatformError(f"Superset did not take the assets:\n{done.stderr[-3000:].strip()}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        draft = record.with_suffix(".new")
        draft.write_text(json.dumps(found | {"digest": wanted}))
        draft.replace(record)
    return Applied(found["counts"], found["ids"], found["pruned"])


def _read(record: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    return found


def database(settings: Settings) -> Path:
    """Superset's own database; there is one once assets were applied."""
    return folder(settings) / "superset.db"


def _digest(files: Mapping[str, str], password: str) -> str:
    """Of all that is applied: a new password is, and a new version of what applies it."""
    code = [path.read_text() for path in (SCRIPT, CONFIGURATION)]
    return sha256(json.dumps([sorted(files.items()), code, password]).encode()).hexdigest()


def serve_forever(settings: Settings) -> None:
    """Become Superset's web server, on loopback: one process with threads, SQLite underneath.

    The lock it holds while it lives tells others that it is meant to answer.
    """
    path = folder(settings) / "server.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PlatformError(f"Superset of {settings.home} is served already") from None
    os.set_inheritable(lock, True)
    command = [str(PYTHON), "-m", "gunicorn", "--workers", "1", "--worker-class", "gthread"]
    command += ["--threads", str(THREADS), "--timeout", "120", "--log-level", "warning"]
    command += ["--bind", f"127.0.0.1:{settings.superset_port}", "superset.app:create_app()"]
    sys.stdout.flush()
    os.execve(command[0], command, environment(settings))  # noqa: S606


def is_served(settings: Settings) -> bool:
    """Whether a local server process lives; one that does not answer is an outage then."""
    path = folder(settings) / "server.lock"
    if not path.exists():
        return False
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def address(settings: Settings) -> str:
    """Where the pages are: the local server's, or another's by URL."""
    return settings.superset_url.rstrip("/") or f"http://127.0.0.1:{settings.superset_port}"


def page(settings: Settings, slug: str) -> str:
    """Address of a dashboard."""
    return f"{address(settings)}/superset/dashboard/{urllib.parse.quote(slug)}/"
