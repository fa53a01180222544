"""The checks of `stock-platform doctor` that depend on the settings: places, databases, servers.

Like those in `cli/checks.py` they open files read-only and ask servers that already run.
"""

import os
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stock_platform.cli.checks import Check, State
from stock_platform.errors import PlatformError
from stock_platform.settings import PREFIX, PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from stock_platform.warehouse.client import Address

GIGABYTE = 1 << 30


def home(settings: Settings) -> Iterator[Check]:
    """The home can be written and has room."""
    existing = _existing(settings.home)
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        mend = f"make it writable or set {PREFIX}HOME to another folder"
        yield Check("home", "fail", f"can't write to {existing}", mend)
    elif settings.home.exists():
        yield Check("home", "ok", str(settings.home))
    else:
        yield Check("home", "ok", f"{settings.home} (made by the first `make run`)")
    free = shutil.disk_usage(existing).free / GIGABYTE
    state: State = "fail" if free < 1 else "warn" if free < 5 else "ok"
    mend = "" if state == "ok" else f"free some space or set {PREFIX}HOME to another disk"
    yield Check("disk", state, f"{free:.1f} GB free", mend)


def source(settings: Settings) -> Iterator[Check]:
    """The active source, and what is loaded beside it, could deliver, as far as can be told."""
    from stock_platform.sources import companions, get_source

    for name in (settings.source, *companions(settings)):
        try:
            what = get_source(settings, name).check()
        except PlatformError as error:
            mend = f"correct it, or choose another {PREFIX}SOURCE; then run doctor again"
            yield Check("source", "fail", f"{name}: {error}", mend)
        else:
            yield Check("source", "ok", f"{name}: {what}")


def lake(settings: Settings) -> Iterator[Check]:
    """The lake's root can be listed."""
    root = settings.lake_root
    if not root.startswith("s3://"):
        if not Path(root).exists():
            yield Check("lake", "warn", f"{root} is empty", "make run fills it")
        else:
            yield Check("lake", "ok", root)
        return
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    where = urlsplit(root)
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url or None,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id or None,
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
        config=Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 1}),
    )
    try:
        client.list_objects_v2(Bucket=where.netloc, Prefix=where.path.lstrip("/"), MaxKeys=1)
    except (BotoCoreError, ClientError) as error:
        mend = f"check {PREFIX}LAKE_URL, {PREFIX}S3_ENDPOINT_URL and the keys"
        yield Check("lake", "fail", f"{root}: {error}", mend)
    else:
        yield Check("lake", "ok", root)


def databases(settings: Settings) -> Iterator[Check]:
    """Catalog, registry and Dagster's storage: a readable SQLite file or a server that answers."""
    yield _catalog(settings)
    if settings.mlflow_tracking.startswith(("http://", "https://")):
        from stock_platform.supervisor import answers

        up = answers(f"{settings.mlflow_tracking.rstrip('/')}/health", 5)
        what = settings.mlflow_tracking if up else f"no answer from {settings.mlflow_tracking}"
        mend = "" if up else f"start it or correct {PREFIX}MLFLOW_TRACKING_URI"
        yield Check("mlflow", "ok" if up else "fail", what, mend)
    else:
        yield _database("mlflow", settings.mlflow_tracking, f"{PREFIX}MLFLOW_TRACKING_URI")
    dagster_home = os.environ.get("DAGSTER_HOME", "")
    if not dagster_home or not (Path(dagster_home) / "dagster.yaml").exists():
        what = f"DAGSTER_HOME={dagster_home or '(not set)'} holds no dagster.yaml"
        yield Check("dagster", "warn", what, f"export DAGSTER_HOME={PROJECT_ROOT} (make sets it)")
    elif not Path(dagster_home).is_absolute():
        yield Check(
            "dagster", "fail", f"DAGSTER_HOME={dagster_home} is relative", "make it absolute"
        )
    else:
        yield Check("dagster", "ok", f"DAGSTER_HOME={dagster_home}")


def warehouse(settings: Settings) -> Iterator[Check]:
    """The warehouse answers to both of its users; a local one may also be stopped."""
    from stock_platform.warehouse import local
    from stock_platform.warehouse.client import address

    folder = local.directory(settings)
    if settings.embedded_warehouse:
        secret = folder / "credentials.json"
        if secret.exists() and secret.stat().st_mode & 0o077:
            yield Check("passwords", "fail", f"others can read {secret}", f"chmod 600 {secret}")
        if not folder.exists() or local.status(settings) is None:
            yield Check("warehouse", "ok", "not running: it starts on demand")
            return
    try:
        admin, reader = address(settings, "admin"), address(settings, "reader")
    except PlatformError as error:
        yield Check("warehouse", "fail", str(error), "stock-platform down, then start it again")
        return
    yield _answer_to("warehouse", admin)
    if reader.user != admin.user:
        yield _answer_to("warehouse reader", reader)


def services(settings: Settings) -> Iterator[Check]:
    """The ports of `make up` are free or ours, and no killed `make up` left anything."""
    from stock_platform.cli.up import claimed_ports, port_is_free, record
    from stock_platform.supervisor import running
    from stock_platform.warehouse import local

    supervisor, left = running(record(settings))
    if left and supervisor is None:
        what = f"a killed `make up` left {len(left)} services running"
        yield Check("make up", "warn", what, "stock-platform down")
    else:
        yield Check("make up", "ok", f"running (pid {supervisor})" if supervisor else "not running")
    home_exists = local.directory(settings).exists()
    server = local.status(settings) if home_exists and settings.embedded_warehouse else None
    for claim in claimed_ports(settings):
        ours = supervisor is not None or bool(left)
        if claim.setting.endswith("WAREHOUSE_PORT"):
            ours = server is not None and server.port == claim.port
        if ours:
            yield Check(f"port {claim.port}", "ok", "ours")
        elif port_is_free(claim.host, claim.port):
            yield Check(f"port {claim.port}", "ok", "free")
        else:
            mend = f"stop that program or set {claim.setting} to a free port"
            yield Check(f"port {claim.port}", "fail", "taken by another program", mend)


def addresses(settings: Settings) -> dict[str, str]:
    """Where everything is or would be, without passwords."""
    local = f"http://{settings.warehouse_host}:{settings.warehouse_port}"
    return {
        "warehouse": _without_password(settings.clickhouse_url or local),
        "dagster": f"http://127.0.0.1:{settings.dagster_port}",
        "mlflow": f"http://127.0.0.1:{settings.mlflow_port}",
        "dbt_docs": f"http://127.0.0.1:{settings.docs_port}",
        "app": f"http://127.0.0.1:{settings.pages_port}",
        "mlflow_tracking": _without_password(settings.mlflow_tracking),
        "lake": settings.lake_root,
        "catalog": _without_password(settings.catalog),
        "home": str(settings.home),
    }


def users(settings: Settings) -> list[str]:
    """Names of the warehouse's users that the platform knows."""
    from stock_platform.warehouse import credentials

    if settings.embedded_warehouse:
        return [credentials.ADMINISTRATOR, credentials.READER]
    return [settings.clickhouse_user]


def _existing(path: Path) -> Path:
    return next(p for p in (path, *path.parents) if p.exists())


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def _catalog(settings: Settings) -> Check:
    from stock_platform.lake.catalog_uri import parse
    from stock_platform.lake.store import open_store

    try:
        address = parse(settings.catalog)
        if address.kind == "sql":
            return _database("catalog", settings.catalog, f"{PREFIX}CATALOG_URI")
        address.ask(open_store(settings).iceberg_properties())
    except PlatformError as error:
        return Check("catalog", "fail", str(error), f"start it or correct {PREFIX}CATALOG_URI")
    return Check("catalog", "ok", address.shown)


def _database(name: str, uri: str, setting: str) -> Check:
    shown = _without_password(uri)
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        if not path.exists():
            return Check(name, "warn", f"{path} does not exist yet", "make run creates it")
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2)) as file:
                file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            return Check(name, "fail", f"{path}: {error}", f"restore it or correct {setting}")
        return Check(name, "ok", shown)
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_engine(uri, connect_args={"connect_timeout": 3}).connect() as connection:
            connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        return Check(name, "fail", f"{shown}: {reason}", f"start it or correct {setting}")
    return Check(name, "ok", shown)


def _answer_to(name: str, at: "Address") -> Check:
    url = f"{'https' if at.secure else 'http'}://{at.host}:{at.port}"
    headers = {"X-ClickHouse-User": at.user, "X-ClickHouse-Key": at.password}
    request = urllib.request.Request(f"{url}/?query=SELECT%20version()", headers=headers)  # noqa: S310
    direct = [urllib.request.ProxyHandler({})] if at.host in {"127.0.0.1", "localhost"} else []
    try:
        with urllib.request.build_opener(*direct).open(request, timeout=5) as answer:
            version = answer.read().decode().strip()
            return Check(name, "ok", f"{url}, version {version}, user {at.user}")
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace").strip().splitlines() or [str(error)]
        return Check(name, "fail", f"{url}: {said[0][:200]}", at.mend)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return Check(
            name, "fail", f"no answer from {url}: {error}", "start it, or stock-platform down"
        )
