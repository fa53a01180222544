"""What every query starts with: its memory and time, and settings that make the engine a server."""

from __future__ import annotations

from dataclasses import dataclass

from stock_platform.warehouse.server.roles import ADMINISTRATOR

_AS_A_SERVER = {"implicit_select": "0", "allow_introspection_functions": "0"}
"""Settings in which the embedded engine differs from a server."""
_REPEATABLE = {"compile_expressions": "0"}
"""The engine compiles an expression once it has met it three times, and the compiled form rounds a
128-bit integer to a float otherwise: the same query would give other last bits the fourth time."""


@dataclass(frozen=True)
class Limits:
    """Memory one query may use, in bytes; seconds one of the reader's may take."""

    administrator: int = 4 << 30
    reader: int = 2 << 30
    reader_seconds: int = 600

    def seconds(self, user: str) -> int | None:
        """How long a query may take until its last byte is sent; None for any time."""
        return None if user == ADMINISTRATOR else self.reader_seconds

    def settings(self, user: str) -> dict[str, str]:
        """The engine settings a user's queries start with."""
        bound = self.administrator if user == ADMINISTRATOR else self.reader
        return {"max_memory_usage": str(bound), **_AS_A_SERVER, **_REPEATABLE}
