"""HTTP sessions: a connection kept between requests, with its temporary tables and SETs.

A session belongs to one user, serves one request at a time and ends when unused for its timeout.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from stock_platform.warehouse.server.engine import Connection
from stock_platform.warehouse.server.errors import (
    SESSION_IS_LOCKED,
    SESSION_NOT_FOUND,
    ServerError,
)


@dataclass
class Session:
    """A kept connection; `connection` is None until the first query and after a broken one."""

    key: tuple[str, str]
    timeout: float
    connection: Connection | None = None
    sets: list[bytes] = field(default_factory=list)
    """The session's own SET statements, replayed after a request's settings are taken back."""
    database: str = ""
    busy: bool = True
    expires: float = 0.0


class Sessions:
    """All sessions of the server."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    def acquire(self, user: str, session_id: str, timeout: float, check: bool) -> Session:
        """The user's session of that name, for this caller alone until `release`.

        Raises:
            ServerError: another request is using it, or `check` was asked and there is none.
        """
        self.drop_expired()
        key = (user, session_id)
        with self._lock:
            session = self._all.get(key)
            if session is None:
                if check:
                    raise ServerError(SESSION_NOT_FOUND, f"Session {session_id} not found")
                session = self._all[key] = Session(key, timeout)
            elif session.busy:
                raise ServerError(
                    SESSION_IS_LOCKED, f"Session {session_id} is locked by a concurrent client"
                )
            session.busy = True
            session.timeout = timeout
            return session

    def release(self, session: Session, close: bool = False) -> None:
        """Give a session back; `close` ends it."""
        with self._lock:
            session.busy = False
            session.expires = time.monotonic() + session.timeout
            if close:
                self._all.pop(session.key, None)
        if close and session.connection is not None:
            session.connection.close()

    def drop_expired(self) -> None:
        """Close sessions nobody used for their timeout."""
        now = time.monotonic()
        with self._lock:
            old = [s for s in self._all.values() if not s.busy and s.expires <= now]
            for session in old:
                del self._all[session.key]
        for session in old:
            if session.connection is not None:
                session.connection.close()

    def close(self) -> None:
        """Close every session that is not in use."""
        with self._lock:
            idle = [s for s in self._all.values() if not s.busy]
            self._all.clear()
        for session in idle:
            if session.connection is not None:
                session.connection.close()
