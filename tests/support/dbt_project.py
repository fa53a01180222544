"""The dbt project against one database and one hand-written lake, dbt running in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from stock_platform.lake import schema
from stock_platform.settings import Settings
from stock_platform.warehouse.dbt_env import dbt_environment

KNOWN_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Project:
    """The dbt project (or a changed copy) against one database and one lake."""

    settings: Settings
    client: Any
    database: str
    lake_root: str
    folder: Path
    target: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of dbt for this project."""
        return {
            **dbt_environment(self.settings),
            "DBT_CLICKHOUSE_DATABASE": self.database,
            "DBT_LAKE_ROOT": self.lake_root,
            "DBT_SOURCE": "unit",
            "DBT_TARGET_PATH": str(self.target / "target"),
            "DBT_LOG_PATH": str(self.target / "logs"),
            **self.variables,
        }

    @property
    def folders(self) -> list[str]:
        """Arguments that name the project."""
        return ["--project-dir", str(self.folder), "--profiles-dir", str(self.folder)]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """dbt as a process, without colours, its output as text by line."""
        entry = "from stock_platform.warehouse.dbt_process import main; main()"
        return subprocess.Popen(
            [sys.executable, "-u", "-c", entry, *arguments, *self.folders],
            env={**os.environ, **self.environment, "DBT_USE_COLORS": "false"},
            stdout=subprocess.PIPE,
            text=True,
        )

    def dbt(self, *arguments: str) -> tuple[bool, dict[str, str]]:
        """Run a dbt command; did it succeed, and the message of every node that did not."""
        from dbt.adapters.factory import cleanup_connections, reset_adapters
        from dbt.cli.main import dbtRunner

        with _environment(self.environment):
            found = dbtRunner().invoke([*arguments, *self.folders, "--quiet"])
        cleanup_connections()  # dbt keeps adapters for the process, also for other tests' databases
        reset_adapters()
        if found.exception is not None:
            raise found.exception
        bad = {
            node.node.name: node.message or ""
            for node in found.result
            if str(node.status) in ("error", "fail", "runtime error")
        }
        return found.success, bad

    def value(self, sql: str) -> Any:
        """First value of a query."""
        return self.client.query(sql).result_rows[0][0]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        return list(self.client.query(sql).result_rows)

    def edited(self, folder: Path, file: str, old: str, new: str) -> Project:
        """The same with one passage of one file of the project replaced."""
        import shutil

        shutil.copytree(
            self.folder, folder, ignore=shutil.ignore_patterns("target", "logs"), dirs_exist_ok=True
        )
        path = folder / file
        text = path.read_text()
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new))
        parsed = self.target / "target" / "partial_parse.msgpack"
        if parsed.exists():  # only what the change touches is parsed anew
            (folder / "target").mkdir()
            shutil.copy(parsed, folder / "target")
        return Project(
            self.settings, self.client, self.database, self.lake_root, folder, folder,
            dict(self.variables),
        )  # fmt: skip


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def content(
    client: Any, database: str, tables: list[str] | None = None
) -> dict[str, tuple[int, str]]:
    """Rows and an order-free digest of every table and plain view of a database."""
    names = tables or [
        row[0]
        for row in client.query(
            f"SELECT name FROM system.tables WHERE database = '{database}'"
            " AND NOT endsWith(name, '_as_of') ORDER BY name"
        ).result_rows
    ]
    return {
        name: client.query(
            f"SELECT count(), toString(sum(sipHash64(tuple(*)))) FROM {database}.{name}"
        ).result_rows[0]
        for name in names
    }


def bar(session: date, instrument: str = "A", close: float = 10.0, **other: Any) -> dict[str, Any]:
    """A row of equity_prices."""
    return {
        "instrument_id": instrument,
        "symbol": instrument,
        "session": session,
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "volume": 100.0,
        "currency": "USD",
        "source": "unit",
        "finality": "final",
        "known_at": KNOWN_AT,
        "available_at": datetime(session.year, session.month, session.day, 23, tzinfo=UTC),
        "availability": "assumed",
        "payload_digest": f"{instrument}{session}{close}",
    } | other


def frame(rows: list[dict[str, Any]], dataset: str = "equity_prices") -> pl.DataFrame:
    """Rows with the lake's types."""
    return pl.DataFrame(rows, schema=schema.dataset(dataset).polars_schema)


def put(
    project: Project,
    rows: pl.DataFrame,
    session: date,
    *,
    name: str = "data",
    dataset: str = "equity_prices",
    listed_rows: int | None = None,
) -> Path:
    """Write an object by hand and list it in lake_objects."""
    path = write(project, rows, session, name=name, dataset=dataset)
    listed = rows.height if listed_rows is None else listed_rows
    size = path.stat().st_size
    project.client.insert("lake_objects", [[dataset, str(path), "unit", session, listed, size]])
    return path


def put_all(project: Project, objects: dict[date, pl.DataFrame]) -> None:
    """Write and list one object of equity_prices per session."""
    listed = []
    for session, rows in objects.items():
        path = write(project, rows, session)
        size = path.stat().st_size
        listed.append(["equity_prices", str(path), "unit", session, rows.height, size])
    project.client.insert("lake_objects", listed)


def write(
    project: Project,
    rows: pl.DataFrame,
    session: date,
    *,
    name: str = "data",
    dataset: str = "equity_prices",
) -> Path:
    """Write an object where the lake would have it."""
    path = Path(project.lake_root, "raw/unit", dataset, f"{session:%Y/%m/%d}", f"{name}.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path
