"""The part of a query that runs in a thread: find a connection, run, give the connection back."""

from __future__ import annotations

import contextlib
import os
import uuid

from stock_platform.warehouse.server.body import Body
from stock_platform.warehouse.server.engine import (
    TAG_SETTING,
    Connection,
    Engine,
    identifier,
    literal,
    new_tag,
)
from stock_platform.warehouse.server.errors import ServerError
from stock_platform.warehouse.server.execution import Execution, Outcome
from stock_platform.warehouse.server.guard import ReaderGuard
from stock_platform.warehouse.server.request import Request
from stock_platform.warehouse.server.roles import READER
from stock_platform.warehouse.server.sessions import Session, Sessions


class Worker:
    """Runs one request; `cancel` may be called from elsewhere while it runs."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        request: Request,
        body: Body,
        *,
        limits: dict[str, str],
        guard: ReaderGuard | None,
    ) -> None:
        self._engine, self._sessions, self._request = engine, sessions, request
        self._body, self._limits, self._guard = body, limits, guard
        self._tag = new_tag(request.query_id)
        self._execution: Execution | None = None
        self._cancelled = False

    @property
    def format(self) -> str:
        """The format of the result, known once its first bytes are there."""
        return self._execution.format if self._execution else ""

    def cancel(self) -> None:
        """Stop the query, or keep it from starting."""
        self._cancelled = True
        if self._execution is not None:
            self._execution.cancelled = True
        with contextlib.suppress(ServerError):
            self._engine.kill(self._tag)

    def run(self, output: int) -> Outcome:
        """Execute, and close `output` when the last byte of the result is in it.

        Raises:
            ServerError: whatever went wrong, in the client's words.
        """
        try:
            if self._request.session_id:
                return self._in_session(output)
            connection = self._engine.connect()
            try:
                self._prepare(connection)
                return self._execute(connection, output)
            finally:
                connection.close()
        finally:
            os.close(output)

    def _in_session(self, output: int) -> Outcome:
        request = self._request
        session = self._sessions.acquire(
            request.user, request.session_id, request.session_timeout, request.session_check
        )
        try:
            if session.connection is None:
                session.connection = self._engine.connect()
            try:
                self._prepare(session.connection, session)
                outcome = self._execute(session.connection, output)
            except ServerError:
                self._after_error(session)
                raise
            if outcome.set_statement:
                session.sets.append(outcome.set_statement)
            if outcome.used_database:
                session.database = outcome.used_database
            self._restore(session, session.connection)
            return outcome
        finally:
            self._sessions.release(session, close=request.close_session)

    def _prepare(self, connection: Connection, session: Session | None = None) -> None:
        """Database, settings, external tables; then, for the reader, its role and readonly.

        A request's own `readonly` is judged by statement, not set: a session couldn't unset it.
        """
        request = self._request
        if self._guard is not None:
            self._guard.check_request(request)
        settings = {k: v for k, v in request.settings.items() if k != "readonly"}
        fresh = not connection.prepared
        connection.use(request.database or (session.database if session else "") or "default")
        connection.set({**(self._limits if fresh else {}), **settings, TAG_SETTING: self._tag})
        for table in request.external:
            table.create(connection)
        if fresh and self._guard is not None:
            connection.run(f"SET ROLE {READER}".encode())
            connection.run(b"SET readonly = 2")
        connection.prepared = True

    def _execute(self, connection: Connection, output: int) -> Outcome:
        self._execution = Execution(
            self._request, connection, self._body.next_blocking, output, self._guard
        )
        self._execution.cancelled = self._cancelled
        return self._execution.run()

    def _restore(self, session: Session, connection: Connection) -> None:
        """Take a request's own settings back: they end with it, a session's SETs don't."""
        names = [name for name in self._request.settings if name != "readonly"]
        for table in self._request.external:
            connection.run(b"DROP TEMPORARY TABLE IF EXISTS " + identifier(table.name).encode())
        if names:
            connection.run(
                b"SET " + ", ".join(f"{identifier(n)} = DEFAULT" for n in names).encode()
            )
            connection.set({n: value for n, value in self._limits.items() if n in names})
            for text in session.sets:
                connection.run(text)

    def _after_error(self, session: Session) -> None:
        """Keep a session's connection only if it proves clean, else begin a new one.

        An error leaves the rest of an unfinished result to the connection's next query.
        """
        connection = session.connection
        assert connection is not None
        nonce = uuid.uuid4().hex
        try:
            self._restore(session, connection)
            for _ in range(2):
                answer = connection.run(f"SELECT {literal(nonce)}".encode(), "TabSeparated")
                clean = answer.bytes() == nonce.encode() + b"\n"
            if not clean:
                raise ServerError(0, "leftovers")
        except ServerError:
            session.connection = None
            connection.close()
