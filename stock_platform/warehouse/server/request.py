"""One HTTP request as ClickHouse reads it: who asks, the query's text, settings, parameters.

Nothing is executed here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers

from stock_platform.warehouse.server.errors import (
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    NOT_IMPLEMENTED,
    ServerError,
)
from stock_platform.warehouse.server.external import ExternalTable, from_form

TRANSPORT = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_write_exception_in_output_format",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)
"""URL parameters that steer the exchange itself; every other one is a setting."""

MAX_SESSION_TIMEOUT = 3600


@dataclass
class Request:
    """What a client asked for, before its body is read."""

    user: str
    method: str
    query: str = ""
    query_id: str = ""
    database: str = ""
    default_format: str = ""
    session_id: str = ""
    session_timeout: int = 60
    session_check: bool = False
    close_session: bool = False
    wait_end_of_query: bool = False
    compression: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    external: list[ExternalTable] = field(default_factory=list)


class Authenticator:
    """Checks names and passwords in time that doesn't depend on where they differ."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = {name: value.encode() for name, value in passwords.items()}

    def check(self, user: str, password: str) -> str:
        """The user's name.

        Raises:
            ServerError: unknown user or wrong password, in the same words.
        """
        given = password.encode("utf-8", "surrogateescape")
        found = ""
        for name, expected in self._passwords.items():
            if hmac.compare_digest(given, expected) and user == name:
                found = name
        if not found:
            raise ServerError(
                AUTHENTICATION_FAILED,
                f"{user}: Authentication failed: password is incorrect, or there is no user "
                "with such name",
            )
        return found


def credentials(headers: Headers, url: dict[str, str]) -> tuple[str, str]:
    """User and password from Basic, `X-ClickHouse-User/Key` or the URL, in that order."""
    header = headers.get("authorization", "")
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ServerError(
                AUTHENTICATION_FAILED, "Invalid authentication: Basic needs base64 of user:password"
            ) from None
        user, _, password = text.partition(":")
        return user, password
    if header:
        raise ServerError(
            AUTHENTICATION_FAILED, f"Invalid authentication: {scheme!r} HTTP is not supported"
        )
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    return url.get("user", "default"), url.get("password", "")


def parse_url(query_string: bytes) -> dict[str, str]:
    """Decode URL parameters; bytes that are not UTF-8 survive as surrogates."""
    found = {}
    for part in query_string.split(b"&"):
        name, _, value = part.partition(b"=")
        if name:
            found[_decode(name)] = _decode(value)
    return found


def build(
    method: str, headers: Headers, url: dict[str, str], user: str, files: dict[str, bytes]
) -> Request:
    """Sort URL parameters and headers into a request.

    Raises:
        ServerError: an unusable value or a feature this server does not have.
    """
    if _flag(url, "decompress") or _flag(url, "compress"):
        raise ServerError(
            NOT_IMPLEMENTED,
            "compress=1 and decompress=1 (ClickHouse's own block format) are not supported: "
            "use Content-Encoding and Accept-Encoding with enable_http_compression=1",
        )
    request = Request(
        user=user,
        method=method,
        query=url.get("query", ""),
        query_id=url.get("query_id") or headers.get("x-clickhouse-query-id") or str(uuid.uuid4()),
        database=url.get("database") or headers.get("x-clickhouse-database", ""),
        default_format=url.get("default_format") or headers.get("x-clickhouse-format", ""),
        session_id=url.get("session_id", ""),
        session_timeout=_timeout(url),
        session_check=_flag(url, "session_check"),
        close_session=_flag(url, "close_session"),
        wait_end_of_query=_flag(url, "wait_end_of_query"),
        compression=_flag(url, "enable_http_compression"),
    )
    request.external = [from_form(name, data, url) for name, data in files.items()]
    described = {f"{name}_{part}" for name in files for part in ("format", "types", "structure")}
    for name, value in url.items():
        if name in described:
            continue
        if name.startswith("param_"):
            request.params[name.removeprefix("param_")] = _utf8(name, value)
        elif name not in TRANSPORT:
            request.settings[name] = value
    return request


def _decode(text: bytes) -> str:
    return unquote_to_bytes(text.replace(b"+", b" ")).decode("utf-8", "surrogateescape")


def _utf8(name: str, value: str) -> str:
    """The value as it is: the engine takes text only, and replacing bytes would change the data."""
    if any("\udc80" <= character <= "\udcff" for character in value):
        raise ServerError(BAD_ARGUMENTS, f"The value of {name} is not UTF-8")
    return value


def _flag(url: dict[str, str], name: str) -> bool:
    value = url.get(name, "0").lower()
    if value in ("1", "true"):
        return True
    if value in ("0", "false", ""):
        return False
    raise ServerError(BAD_ARGUMENTS, f"Cannot parse {name}={value!r}: use 0 or 1")


def _timeout(url: dict[str, str]) -> int:
    text = url.get("session_timeout", "60")
    if not (text.isascii() and text.isdigit()) or int(text) > MAX_SESSION_TIMEOUT:
        raise ServerError(
            INVALID_SESSION_TIMEOUT,
            f"Invalid session timeout: {text!r}: seconds, at most {MAX_SESSION_TIMEOUT}",
        )
    return int(text)
