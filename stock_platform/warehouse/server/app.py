"""The HTTP routes: health, and queries with their refusals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from stock_platform.warehouse.server.body import Body, read_form
from stock_platform.warehouse.server.engine import Engine
from stock_platform.warehouse.server.errors import (
    QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
    TOO_MANY_SIMULTANEOUS_QUERIES,
    UNKNOWN_EXCEPTION,
    ServerError,
)
from stock_platform.warehouse.server.exchange import BrokenStreamError, Exchange, common_headers
from stock_platform.warehouse.server.guard import ReaderGuard
from stock_platform.warehouse.server.limits import Limits
from stock_platform.warehouse.server.request import Authenticator, build, credentials, parse_url
from stock_platform.warehouse.server.roles import ADMINISTRATOR
from stock_platform.warehouse.server.sessions import Sessions
from stock_platform.warehouse.server.worker import Worker

log = logging.getLogger(__name__)

MAX_QUERIES = 100
RESERVED_QUERIES = 20
"""Of these, kept free for the administrator: the platform's own work goes on."""


class QueryEndpoint:
    """The ASGI endpoint `/`: authenticates, then hands the query to an `Exchange`."""

    def __init__(self, engine: Engine, passwords: dict[str, str], limits: Limits) -> None:
        self.engine, self.limits = engine, limits
        self.authenticator = Authenticator(passwords)
        self.guard = ReaderGuard(engine.table_functions)
        self.sessions = Sessions()
        self.pool = ThreadPoolExecutor(MAX_QUERIES, "query")
        self.running = 0
        self.query_ids: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        url = parse_url(scope["query_string"])
        if scope["method"] == "HEAD" or (scope["method"] == "GET" and "query" not in url):
            await PlainTextResponse("Ok.\n")(scope, receive, send)
            return
        query_id = url.get("query_id", "")
        self.running += 1
        try:
            self._admit(MAX_QUERIES)
            user = self.authenticator.check(*credentials(headers, url))
            if user != ADMINISTRATOR:
                self._admit(MAX_QUERIES - RESERVED_QUERIES)
            body = Body(receive, headers)
            files: dict[str, bytes] = {}
            if headers.get("content-type", "").startswith("multipart/form-data"):
                form = await read_form(body, headers)
                url, files = {**url, **form.fields}, form.files
            request = build(scope["method"], headers, url, user, files)
            query_id = request.query_id
            guard = None if user == ADMINISTRATOR else self.guard
            limits = self.limits.settings(user)
            worker = Worker(self.engine, self.sessions, request, body, limits=limits, guard=guard)
            exchange = Exchange(self.engine, request, body, worker, self.limits.seconds(user))
            with self._named(query_id):
                await exchange.answer(self.pool, headers, send)
        except ServerError as error:
            await self._refuse(error, query_id, scope, receive, send)
        except BrokenStreamError:
            return
        except Exception:
            log.exception("request failed")
            problem = ServerError(UNKNOWN_EXCEPTION, "Internal error of the server, see its log")
            await self._refuse(problem, query_id, scope, receive, send)
        finally:
            self.running -= 1

    def _admit(self, maximum: int) -> None:
        if self.running > maximum:
            raise ServerError(
                TOO_MANY_SIMULTANEOUS_QUERIES, f"Too many simultaneous queries. Maximum: {maximum}"
            )

    @contextmanager
    def _named(self, query_id: str) -> Iterator[None]:
        if query_id in self.query_ids:
            raise ServerError(
                QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                f"Query with id = {query_id} is already running",
            )
        self.query_ids.add(query_id)
        try:
            yield
        finally:
            self.query_ids.remove(query_id)

    async def _refuse(
        self, error: ServerError, query_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        response = PlainTextResponse(error.body(self.engine.version), error.status)
        response.raw_headers += [
            *common_headers(self.engine, query_id),
            (b"x-clickhouse-exception-code", str(error.code).encode()),
        ]
        if error.status == 401:
            response.headers["www-authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        await response(scope, receive, send)

    async def close(self) -> None:
        """End sessions once the last query, cancelled or not, has ended."""
        while self.running:
            await asyncio.sleep(0.02)
        self.pool.shutdown()
        self.sessions.close()


def create_app(engine: Engine, passwords: dict[str, str], limits: Limits) -> Starlette:
    """The ASGI application over an open engine, which it closes when it stops."""
    endpoint = QueryEndpoint(engine, passwords, limits)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await endpoint.close()
        engine.close()

    def healthy(_request: HttpRequest) -> PlainTextResponse:
        return PlainTextResponse("Ok.\n")

    def missing(request: HttpRequest, _error: Exception) -> PlainTextResponse:
        return PlainTextResponse(
            f"There is no handle {request.url.path}\n\nUse / or /ping for health checks.\n"
            "Or /replicas_status for more sophisticated health checks.\n\n"
            "Send queries from your program with POST method or GET /?query=...\n",
            404,
        )

    return Starlette(
        routes=[
            Route("/ping", healthy),
            Route("/replicas_status", healthy),
            Route("/", endpoint, methods=["GET", "HEAD", "POST"]),
        ],
        exception_handlers={404: missing},
        lifespan=lifespan,
    )
