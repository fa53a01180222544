"""Runs one request on one connection, in a worker thread; its result flows through a pipe.

The pipe (`INTO OUTFILE` to a file descriptor of our own) makes the engine format the result as it
would a file: every format streams, memory stays bounded, and a reader that goes away stops it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stock_platform.warehouse.server.engine import (
    CALLERS_QUERY_ID,
    Connection,
    format_name,
    identifier,
)
from stock_platform.warehouse.server.errors import (
    QUERY_IS_TOO_LARGE,
    QUERY_WAS_CANCELLED,
    READONLY,
    SYNTAX_ERROR,
    ServerError,
    from_engine,
)
from stock_platform.warehouse.server.external import create_table
from stock_platform.warehouse.server.guard import ReaderGuard
from stock_platform.warehouse.server.request import Request
from stock_platform.warehouse.server.statement import (
    DEFAULT_FORMAT,
    HEAD_BYTES,
    InsertData,
    Statement,
    parse_insert,
    parse_statement,
)

MAX_TEXT_BYTES = 1 << 20
"""Of a statement without data; reading its tokens takes some 300 times as much memory."""


@dataclass
class Outcome:
    """What the engine counted, and the format of what went through the pipe."""

    format: str = ""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed: float = 0.0
    empty_header: bytes = b""
    """Native header block of a result without rows, which the engine itself leaves out."""
    set_statement: bytes = b""
    used_database: str = ""
    """What a session remembers: the text of a SET, the database a USE chose."""


class Execution:
    """One query on its way; `cancelled` may be set by another thread."""

    def __init__(
        self,
        request: Request,
        connection: Connection,
        pieces: Callable[[], bytes | None],
        output: int,
        guard: ReaderGuard | None,
    ) -> None:
        self.request = request
        self.connection = connection
        self.output = output
        self.cancelled = False
        self._pieces = pieces
        self._guard = guard
        self.format = ""

    def run(self) -> Outcome:
        """Read the body, decide what it is, execute it.

        Raises:
            ServerError: anything wrong; the connection must not be used again.
        """
        head = self.request.query.encode("utf-8", "surrogateescape")
        if head:
            head += b"\n"
        complete = False
        while len(head) < HEAD_BYTES:
            piece = self._pieces()
            if piece is None:
                complete = True
                break
            head += piece
        insert = parse_insert(head[:HEAD_BYTES].decode("utf-8", "surrogateescape"))
        if insert is not None:
            return self._insert(insert, head, complete)
        while not complete:
            piece = self._pieces()
            complete = piece is None
            head += piece or b""
            if len(head) > MAX_TEXT_BYTES:
                raise ServerError(QUERY_IS_TOO_LARGE, f"Query is over {MAX_TEXT_BYTES} bytes")
        return self._statement(parse_statement(head.decode("utf-8", "surrogateescape")))

    def _statement(self, statement: Statement) -> Outcome:
        if any(token.text == ";" for token in statement.found if token.kind == "mark"):
            raise _several()
        text = statement.with_callers_ids(CALLERS_QUERY_ID).encode("utf-8", "surrogateescape")
        kind, count = self.connection.classify(text)
        if count > 1:
            raise _several()
        self._allow(kind, statement)
        self._check_cancelled()

        fmt = format_name(statement.format or self.request.default_format or DEFAULT_FORMAT)
        self.format = fmt
        if statement.plain or kind != "READ_ONLY":
            if statement.head == "SHOW":
                text = statement.body.encode("utf-8", "surrogateescape")
            result = self.connection.run(text, fmt, self.request.params)
            if kind == "UNKNOWN":
                raise ServerError(SYNTAX_ERROR, "Syntax error: the query can't be parsed")
            answer = result.bytes()
            self._write(answer)
            empty, fmt = not answer, fmt if answer or kind == "READ_ONLY" else ""
        else:
            path = f"/proc/self/fd/{self.output}"
            text = statement.writing_to(path, fmt).encode("utf-8", "surrogateescape")
            result = self.connection.run(text, "Null", self.request.params)
            empty = result.rows_read() == 0
        outcome = Outcome(
            format=fmt,
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            elapsed=result.elapsed(),
        )
        if fmt.lower() == "native" and kind == "READ_ONLY" and empty:
            outcome.empty_header = self._native_header(statement)
        if statement.head == "SET":
            outcome.set_statement = text
        elif statement.head == "USE":
            row = self.connection.run(b"SELECT currentDatabase()", "TabSeparatedRaw").bytes()
            outcome.used_database = self.connection.database = row.decode().rstrip("\n")
        return outcome

    def _insert(self, insert: InsertData, head: bytes, complete: bool) -> Outcome:
        self._allow("MUTATING", None)
        data = head[insert.data_start :]
        if complete and insert.format.lower() == "values" and _second_statement(data):
            raise _several()
        self.connection.set({f"param_{k}": v for k, v in self.request.params.items()})
        if insert.structure:
            return self._insert_selected(insert, data, complete)
        text = insert.statement.encode("utf-8", "surrogateescape")
        if _second_statement(text):
            raise _several()
        rows, size, elapsed = self._append(text, insert.format, data, complete)
        return Outcome(
            written_rows=rows, written_bytes=size, read_rows=rows, read_bytes=size, elapsed=elapsed
        )

    def _insert_selected(self, insert: InsertData, data: bytes, complete: bool) -> Outcome:
        """`INSERT ... SELECT ... FROM input(...)`, which the engine would answer with no rows."""
        name = f"input_{uuid.uuid4().hex}"
        table = identifier(name)
        create_table(self.connection, name, insert.structure)
        self._append(f"INSERT INTO {table}".encode(), insert.format, data, complete)
        try:
            return self._statement(parse_statement(insert.selecting_from(table)))
        finally:
            self.connection.run(f"DROP TEMPORARY TABLE {table}".encode())

    def _append(
        self, statement: bytes, fmt: str, data: bytes, complete: bool
    ) -> tuple[int, int, float]:
        """Feed the data and the rest of the body to an INSERT: rows, bytes, seconds."""
        stream = self.connection.insert(statement, fmt)
        try:
            if data:
                stream.append(data)
            while not complete:
                piece = self._pieces()
                complete = piece is None
                if piece:
                    stream.append(piece)
            self._check_cancelled()
            done = stream.finish()
        except ServerError:
            stream.cancel()
            raise
        except RuntimeError as error:
            raise from_engine(error) from None
        return done.rows_written, done.bytes_written, done.elapsed

    def _allow(self, kind: str, statement: Statement | None) -> None:
        """Refuse what the method or the user may not do."""
        asked = self.request.settings.get("readonly", "0") != "0"
        if kind not in ("READ_ONLY", "UNKNOWN") and (asked or self.request.method == "GET"):
            raise ServerError(
                READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
                "readonly. You should use method POST for modifying queries",
            )
        if self._guard is not None:
            self._guard.check_statement(kind, statement, self.connection, self.request)

    def _native_header(self, statement: Statement) -> bytes:
        if statement.head == "SHOW":
            columns = [(c["name"], c["type"]) for c in self._json(statement.body)["meta"]]
        else:
            answer = self._json(f"DESCRIBE TABLE (\n{statement.body}\n)")
            columns = [(row[0], row[1]) for row in answer["data"]]
        block = _varint(len(columns)) + _varint(0)
        for name, kind in columns:
            for part in (name, kind):
                block += _varint(len(part.encode())) + part.encode()
        return block

    def _json(self, sql: str) -> Any:
        text = sql.encode("utf-8", "surrogateescape")
        return json.loads(self.connection.run(text, "JSONCompact", self.request.params).bytes())

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.output, view) :]

    def _check_cancelled(self) -> None:
        if self.cancelled:
            raise ServerError(QUERY_WAS_CANCELLED, "Query was cancelled: the client went away")


def _second_statement(data: bytes) -> bool:
    from stock_platform.warehouse.server.lexer import tokens

    found = tokens(data.decode("utf-8", "surrogateescape"))
    ends = [at for at, token in enumerate(found) if token.kind == "mark" and token.text == ";"]
    return any(token.text != ";" for at in ends for token in found[at + 1 :])


def _several() -> ServerError:
    return ServerError(
        SYNTAX_ERROR,
        "Syntax error: Multi-statements are not allowed: send one statement per request",
    )


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])
