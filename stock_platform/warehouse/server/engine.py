"""The embedded engine: its connections, what it knows about itself, and cancelling a query.

The only module of the project that imports chDB.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

from stock_platform.warehouse.server.errors import (
    UNKNOWN_FORMAT,
    UNKNOWN_SETTING,
    ServerError,
    from_engine,
)
from stock_platform.warehouse.server.roles import CONFIGURATION, write_configuration

DATA = "data"
"""Subdirectory of the warehouse's directory that is the engine's."""

TAG_SETTING = "distributed_cache_client_id"
"""A free-text setting that only ClickHouse Cloud uses: it carries the id that KILL looks for, so
that the caller's `log_comment` stays as the caller gave it."""

CALLERS_QUERY_ID = f"substring(Settings['{TAG_SETTING}'], 33)"
"""SQL for the id a caller gave its query: the engine's own `query_id` is another."""

_FORMAT_NAME = re.compile(r"[A-Za-z0-9_]+")
_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


def new_tag(query_id: str) -> str:
    """A tag no other query has, which ends in the id its caller gave it."""
    return uuid.uuid4().hex + query_id


def literal(value: str) -> str:
    """A ClickHouse string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A quoted ClickHouse identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def format_name(name: str) -> str:
    """The name of a format, which goes into statements unquoted.

    Raises:
        ServerError: it is no name at all.
    """
    if not _FORMAT_NAME.fullmatch(name):
        raise ServerError(UNKNOWN_FORMAT, f"Unknown format {name}")
    return name


class Connection:
    """One connection of the engine: serial, with its own database, settings, temporary tables."""

    def __init__(self, address: str) -> None:
        import chdb

        self._inner: Any = chdb.connect(address)  # type: ignore[no-untyped-call]
        self.database = "default"
        self.prepared = False

    def run(self, sql: bytes, fmt: str = "Null", params: dict[str, str] | None = None) -> Any:
        """Execute; the engine's result (`bytes()`, `rows_read()`, `rows_written()`, ...).

        Raises:
            ServerError: the engine refused or failed; the connection must not be used again.
        """
        from chdb._exceptions import ChdbError

        try:
            return self._inner.query(sql, fmt, params=params or {})
        except UnicodeDecodeError as error:
            # The engine's message quotes a query that isn't UTF-8.
            message = bytes(error.object).decode("utf-8", "surrogateescape")
            raise from_engine(RuntimeError(message)) from None
        except ChdbError as error:
            raise from_engine(error) from None

    def insert(self, sql: bytes, fmt: str) -> Any:
        """Begin an INSERT whose data is appended piece by piece."""
        try:
            return self._inner.send_insert(sql, format_name(fmt))
        except RuntimeError as error:
            raise from_engine(error) from None

    def classify(self, sql: bytes) -> tuple[str, int]:
        """The engine's parser's verdict: class of the text and the number of statements in it."""
        verdict = self._inner._conn.classify_query(sql)
        return verdict["query_class"].name, int(verdict["statement_count"])

    def use(self, database: str) -> None:
        """Make a database the current one."""
        if database != self.database:
            self.run(b"USE " + identifier(database).encode("utf-8", "surrogateescape"))
            self.database = database

    def set(self, settings: dict[str, str]) -> None:
        """Apply settings, given as text."""
        if not settings:
            return
        for name in settings:
            if not _SETTING_NAME.fullmatch(name):
                raise ServerError(UNKNOWN_SETTING, f"Unknown setting {name!r}")
        pairs = ", ".join(f"{name} = {literal(value)}" for name, value in settings.items())
        self.run(f"SET {pairs}".encode("utf-8", "surrogateescape"))

    def close(self) -> None:
        """Release the connection; a query still running on it ends first."""
        self._inner.close()


class Engine:
    """The engine of a warehouse's directory; one per process, which it makes its own directory.

    Raises:
        ServerError: the directory can't be opened.
    """

    def __init__(self, directory: Path) -> None:
        os.environ["TZ"] = "UTC"
        time.tzset()
        write_configuration(directory)
        # Relative paths: the engine reads `?` and `&` in a path as its own parameters.
        os.chdir(directory)
        self._keeper = self._open(f"{DATA}?config-file={CONFIGURATION}")
        row = self._text("SELECT version(), timezone(), hostName()")
        self.version, self.timezone, self.display_name = row.split("\t")
        self.table_functions = self._text("SELECT name FROM system.table_functions").split("\n")

    def connect(self) -> Connection:
        """A new connection (about 0.3 ms) in the administrator's role."""
        return self._open(DATA)

    def _open(self, address: str) -> Connection:
        try:
            return Connection(address)
        except RuntimeError as error:
            raise from_engine(error) from None

    def _text(self, sql: str) -> str:
        answer = self._keeper.run(sql.encode(), "TabSeparatedRaw").bytes()
        return str(answer.decode().rstrip("\n"))

    def kill(self, tag: str) -> None:
        """Ask the one query that carries this tag to stop; no error when there is none."""
        connection = self.connect()
        try:
            where = f"Settings['{TAG_SETTING}'] = {literal(tag)}"
            connection.run(f"KILL QUERY WHERE {where} ASYNC".encode())
        finally:
            connection.close()

    def close(self) -> None:
        """Release the engine; the directory is free once every connection is closed."""
        self._keeper.close()
