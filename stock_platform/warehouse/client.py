"""The one way into the warehouse: a clickhouse-connect client for the local or an external server.

What is asked of the warehouse lives with those who ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from stock_platform.errors import PlatformError
from stock_platform.warehouse import credentials, local

if TYPE_CHECKING:
    from clickhouse_connect.driver.httpclient import HttpClient

    from stock_platform.settings import Settings

DATABASE = "market"

REFUSED_CODES = frozenset({202, 373})
"""Too many simultaneous queries, session in use: the server did not begin, repeating is safe."""
TRANSIENT_CODES = REFUSED_CODES | {209, 210, 236, 279, 999}
"""Sockets, connections, a server that is stopping, Keeper: safe to repeat what only reads."""
ATTEMPTS = 4

User = Literal["admin", "reader"]
T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where the warehouse is and who asks."""

    host: str
    port: int
    secure: bool
    user: str
    password: str
    mend: str
    """What to do when the server refuses the password."""


def connect(settings: Settings, *, run_id: str | None = None, user: User = "admin") -> HttpClient:
    """A client whose database is `market` (made if absent, by the administrator).

    It may be used from several threads; close it when done. Every query carries `run_id` as its
    `log_comment`. Times are UTC.

    Raises:
        PlatformError: the server is not running or not reachable, or refuses the password.
    """
    from clickhouse_connect.driver.exceptions import DatabaseError
    from clickhouse_connect.driver.httputil import get_pool_manager

    at = address(settings, user)
    chosen = {"log_comment": run_id} if run_id else {}
    if user == "admin":
        chosen["compile_expressions"] = "0"  # see warehouse/server/limits.py
    try:
        client = _client_class()(
            "https" if at.secure else "http",
            at.host,
            at.port,
            at.user,
            at.password,
            None,
            settings=chosen,
            autogenerate_session_id=False,
            pool_mgr=get_pool_manager() if settings.embedded_warehouse else None,
        )
    except DatabaseError as error:
        raise _explained(error, at) from None
    try:
        if user == "admin":
            client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        elif client.server_settings["readonly"].value == "0":
            client.set_client_setting("readonly", "2")
    except DatabaseError as error:
        client.close()
        raise _explained(error, at) from None
    client.database = DATABASE
    return client


def address(settings: Settings, user: User = "admin") -> Address:
    """Where to connect and as whom; an external server has one configured user for both.

    Raises:
        PlatformError: no local server runs, or the URL is unusable.
    """
    given = settings.clickhouse_password.get_secret_value()
    if settings.embedded_warehouse:
        server = local.status(settings)
        if server is None:
            raise PlatformError(
                f"no warehouse server runs on {local.directory(settings)}: start it with "
                "`stock-platform warehouse`, or set STOCK_PLATFORM_CLICKHOUSE_URL to another server"
            )
        name = credentials.READER if user == "reader" else credentials.ADMINISTRATOR
        made = credentials.load(local.directory(settings))[name]
        if given and user == "admin":
            mend = "correct or unset STOCK_PLATFORM_CLICKHOUSE_PASSWORD"
            return Address(server.host, server.port, False, name, given, mend)
        mend = f"restart the server so that it reads {local.directory(settings)}/credentials.json"
        return Address(server.host, server.port, False, name, made, mend)
    url = urlsplit(settings.clickhouse_url)
    try:
        port = url.port
    except ValueError:
        port = -1
    if url.scheme not in ("http", "https") or not url.hostname or port == -1:
        raise PlatformError(
            f"STOCK_PLATFORM_CLICKHOUSE_URL={settings.clickhouse_url!r} is not a ClickHouse HTTP "
            "address: write http://host:8123 or https://host:8443"
        )
    secure = url.scheme == "https"
    mend = "correct STOCK_PLATFORM_CLICKHOUSE_USER and STOCK_PLATFORM_CLICKHOUSE_PASSWORD"
    return Address(
        url.hostname,
        port or (8443 if secure else 8123),
        secure,
        settings.clickhouse_user,
        given,
        mend,
    )


def _explained(error: Exception, at: Address) -> PlatformError:
    where = f"{'https' if at.secure else 'http'}://{at.host}:{at.port}"
    code = getattr(error, "code", None)
    if code in (192, 193, 194, 516):
        return PlatformError(
            f"the warehouse at {where} refuses the password of user {at.user!r}: {at.mend}"
        )
    if code is None:
        return PlatformError(
            f"the warehouse at {where} can't be reached ({error}): check that the server runs and "
            "STOCK_PLATFORM_CLICKHOUSE_URL, or see `stock-platform doctor`"
        )
    return PlatformError(f"the warehouse at {where} refuses user {at.user!r}: {error}")


def retrying(operation: Callable[[], T], codes: frozenset[int] = TRANSIENT_CODES) -> T:
    """Call, and call again after a growing pause while the error's code is one of `codes`."""
    from clickhouse_connect.driver.exceptions import DatabaseError

    for attempt in range(1, ATTEMPTS):
        try:
            return operation()
        except DatabaseError as error:
            if error.code not in codes:
                raise
        time.sleep(0.1 * 2**attempt)
    return operation()


def _client_class() -> type[HttpClient]:
    from clickhouse_connect.driver.httpclient import HttpClient

    class WarehouseClient(HttpClient):
        """Repeats transient failures: any for reads, only refusals for what may change data."""

        def _query_with_context(self, context: Any) -> Any:
            return retrying(lambda: super(WarehouseClient, self)._query_with_context(context))

        def raw_query(self, *args: Any, **kwargs: Any) -> bytes:
            return retrying(lambda: super(WarehouseClient, self).raw_query(*args, **kwargs))

        def command(self, *args: Any, **kwargs: Any) -> Any:
            return retrying(
                lambda: super(WarehouseClient, self).command(*args, **kwargs), REFUSED_CODES
            )

    return WarehouseClient
