"""Errors as a ClickHouse server words and numbers them, and the HTTP status each one gets.

Only the codes this server raises itself are named; the engine's own arrive as text and are parsed.
"""

from __future__ import annotations

import re

UNKNOWN_FORMAT = 73
INCORRECT_QUERY = 80
SYNTAX_ERROR = 62
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
UNKNOWN_SETTING = 115
READONLY = 164
CANNOT_DECOMPRESS = 271
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
QUERY_WAS_CANCELLED = 394
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516
TIMEOUT_EXCEEDED = 159
TOO_MANY_SIMULTANEOUS_QUERIES = 202
QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216
ABORTED = 236
QUERY_IS_TOO_LARGE = 223
UNKNOWN_EXCEPTION = 1002

NAMES = {
    value: name for name, value in list(globals().items()) if name.isupper() and type(value) is int
}

_MESSAGE = re.compile(
    r"Code: (\d+)\. (?:DB::\w*Exception|Coordination::Exception): (.*)", re.DOTALL
)
_NAME_AT_END = re.compile(r"\(([A-Z][A-Z0-9_]+)\)(?:\s*\(version [^()]*\))?\.?\s*$")

# ClickHouse's own table (exceptionCodeToHTTPStatus in src/Server/HTTP).
_STATUS = {
    **dict.fromkeys((192, 193, 516, 511, 497), 403),
    194: 401,
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 42, 43, 44, 53, 61, 62, 69, 70, 72, 117), 400),
    **dict.fromkeys((80, 130, 131, 169, 190, 271, 321, 374, 427, 429, 456, 457), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 126, 137, 372), 404),
    159: 408,
    223: 413,
    48: 501,
    **dict.fromkeys((202, 209, 236), 503),
}


class ServerError(Exception):
    """A request the server answers with ClickHouse's `Code: N. DB::Exception: text. (NAME)`."""

    def __init__(self, code: int, text: str, name: str = "", status: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text.rstrip()
        self.name = name or NAMES.get(code, "UNKNOWN_EXCEPTION")
        self.status = status or _STATUS.get(code, 500)

    def body(self, version: str) -> bytes:
        """The text a client receives, ending in a newline; it may quote bytes that aren't UTF-8."""
        text = self.text if self.text.endswith((".", "!", "?")) else self.text + "."
        message = f"Code: {self.code}. DB::Exception: {text} ({self.name}) (version {version})\n"
        return message.encode("utf-8", "surrogateescape")


def from_engine(error: Exception) -> ServerError:
    """Turn the engine's exception, whose text holds one or more `Code: N. ...`, into ours."""
    text = str(error)
    code = 0
    while match := _MESSAGE.search(text):
        code, text = int(match[1]), match[2]
    if not code:
        return ServerError(UNKNOWN_EXCEPTION, text or type(error).__name__)
    name = ""
    while match := _NAME_AT_END.search(text):
        name, text = match[1], text[: match.start()].rstrip()
    return ServerError(code, text, name)
