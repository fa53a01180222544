"""A server that speaks Yahoo Finance's protocol on loopback, well or with injected faults.

with YahooServer([Listing("AAPL", bars)], now=moment("2024-06-01T12:00")) as server:
    server.fail("AAPL", "server_error", times=2)
    settings = settings_in(home, yahoo_url=server.url)
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.yahoo_market import Listing, chart

KINDS = (
    "rate_limited",
    "unauthorized",
    "not_found",
    "bad_request",
    "no_range",
    "server_error",
    "timeout",
    "connection",
    "truncated",
    "cut",
    "malformed",
    "consent_page",
    "empty",
)
CONSENT = b"<!DOCTYPE html><html><head><title>Yahoo</title></head><body>Before you continue</body>"


@dataclass
class Fault:
    kind: str
    times: int | None
    """How many tries it hits; None: all."""
    retry_after: str | None = None
    seconds: float = 30.0
    status: int = 500


@dataclass(frozen=True)
class Seen:
    """One request: endpoint is cookie, getcrumb, chart or other."""

    endpoint: str
    symbol: str
    query: dict[str, str]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json;charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def error(status: int, code: str, description: str) -> Reply:
    body = {"chart": {"result": None, "error": {"code": code, "description": description}}}
    return Reply(status, json.dumps(body, separators=(",", ":")).encode())


class YahooServer:
    """`now`: the provider's clock, None for the real one; settable, like everything else here."""

    def __init__(self, listings: Iterable[Listing] = (), *, now: datetime | None = None) -> None:
        self.listings = {listing.symbol: listing for listing in listings}
        self.now = now
        self.date_offset = timedelta()
        """How far the Date header runs ahead of this computer's clock."""
        self.bodies: dict[str, bytes] = {}
        """Recorded bodies, served for a symbol whatever range is asked."""
        self.seen: list[Seen] = []
        self.seconds = 0.0
        """Time spent on making and sending answers, faults not counted."""
        self.errors: list[BaseException] = []
        self._faults: dict[str, Fault] = {}
        self._crumbs: set[str] = set()
        self._encoded: dict[tuple[Any, ...], bytes | None] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> YahooServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        if self.errors:
            raise self.errors[0]

    def fail(self, target: str, kind: str, times: int | None = None, **options: Any) -> None:
        """Make requests for a symbol, for `*` (every symbol), `getcrumb` or `cookie` fail."""
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}, there are {', '.join(KINDS)}")
        self._faults[target] = Fault(kind, times, **options)

    def recover(self) -> None:
        """No more faults."""
        self._faults.clear()

    def expire_crumbs(self) -> None:
        """Refuse every crumb handed out so far."""
        self._crumbs.clear()

    def changed(self) -> None:
        """A listing was edited in place: make its bodies anew."""
        self._encoded.clear()

    def prepare(self, since: date) -> None:
        """Make every body from that day ahead of time, as `YahooClient.history` will ask for it."""
        start = int(datetime(since.year, since.month, since.day, tzinfo=UTC).timestamp()) - 86_400
        for symbol in self.listings:
            self._body(symbol, start, 1 << 40)

    def counts(self) -> Counter[str]:
        """Requests by endpoint."""
        return Counter(seen.endpoint for seen in self.seen)

    def asked(self, symbol: str) -> int:
        """Chart requests for a symbol."""
        return sum(seen.symbol == symbol for seen in self.seen)

    # --- what the handler calls ------------------------------------------------------------------

    def note(self, seen: Seen) -> Fault | None:
        """Record a request; the fault it runs into."""
        with self._lock:
            self.seen.append(seen)
            for target in (seen.symbol, "*" if seen.symbol else seen.endpoint):
                fault = self._faults.get(target)
                if fault is None or fault.times == 0:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def reply(self, seen: Seen, cookie: str) -> Reply:
        """The answer when all is well."""
        if seen.endpoint == "cookie":
            # A 404 that brings the cookie, as the real one.
            value = "A3=d=test; Max-Age=31557600; Path=/; HttpOnly"
            return Reply(404, b"", "text/html", (("Set-Cookie", value),))
        if seen.endpoint == "getcrumb":
            if "A3=" not in cookie:
                return error(401, "Unauthorized", "Invalid Cookie")
            crumb = f"crumb{len(self.seen)}"
            self._crumbs.add(crumb)
            return Reply(200, crumb.encode(), "text/plain")
        if seen.endpoint == "other":
            return Reply(200, CONSENT, "text/html")
        if "crumb" in seen.query and seen.query["crumb"] not in self._crumbs:
            return error(401, "Unauthorized", "Invalid Crumb")
        if seen.symbol in self.bodies:
            return Reply(200, self.bodies[seen.symbol])
        if seen.symbol not in self.listings:
            return error(404, "Not Found", "No data found, symbol may be delisted")
        since, until = int(seen.query["period1"]), int(seen.query["period2"])
        body = self._body(seen.symbol, since, until)
        if body is None:
            return error(400, "Bad Request", _no_range(since, until))
        return Reply(200, body)

    def faulty(self, fault: Fault, seen: Seen) -> Reply | None:
        """The answer of a fault; None when there is none to send (see `_handler`)."""
        if fault.kind == "rate_limited":
            headers = (("Retry-After", fault.retry_after),) if fault.retry_after else ()
            return Reply(429, b"Edge: Too Many Requests", "text/plain", headers)
        if fault.kind == "unauthorized":
            return error(401, "Unauthorized", "Invalid Crumb")
        if fault.kind == "not_found":
            return error(404, "Not Found", "No data found, symbol may be delisted")
        if fault.kind == "bad_request":
            return error(400, "Bad Request", "Invalid input - interval=1d is not supported")
        if fault.kind == "no_range":
            return error(400, "Bad Request", _no_range(1577836800, 1578009600))
        if fault.kind == "server_error":
            return Reply(fault.status, b"Internal Server Error", "text/plain")
        if fault.kind == "truncated":
            whole = self.reply(seen, "").body
            return Reply(200, whole[: len(whole) // 2])
        if fault.kind == "malformed":
            return Reply(200, b'{"chart":{"result":[{"meta":')
        if fault.kind == "consent_page":
            return Reply(200, CONSENT, "text/html; charset=utf-8")
        if fault.kind == "empty":
            return Reply(200, _empty(seen.symbol))
        return None

    def pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _body(self, symbol: str, since: int, until: int) -> bytes | None:
        now = self.now or datetime.now(UTC)
        moment = self.now or now.date()
        # Past the provider's own clock every end is the same.
        key = (symbol, since, min(until, int(now.timestamp()) + 1) if self.now else 0, moment)
        if key not in self._encoded:
            self._encoded[key] = chart(self.listings[symbol], now, since, until)
        return self._encoded[key]


def _no_range(since: int, until: int) -> str:
    return f"Data doesn't exist for startDate = {since}, endDate = {until}"


def _empty(symbol: str) -> bytes:
    meta = {
        "currency": None,
        "symbol": symbol,
        "exchangeName": "YHD",
        "fullExchangeName": "YHD",
        "instrumentType": "MUTUALFUND",
        "firstTradeDate": None,
        "exchangeTimezoneName": "America/New_York",
    }
    result = {"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _handler(server: YahooServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            try:
                self._answer()
            except ConnectionError:
                self.close_connection = True  # the client gave up, as it may
            except Exception as problem:  # a fault of the server's own must fail the test
                server.errors.append(problem)
                raise

        do_POST = do_GET  # noqa: N815 - named by http.server

        def _answer(self) -> None:
            seen = _seen(self.path)
            fault = server.note(seen)
            begun = time.thread_time()
            if fault is None:
                self._send(server.reply(seen, self.headers.get("Cookie", "")))
                server.seconds += time.thread_time() - begun
                return
            reply = server.faulty(fault, seen)
            if reply is not None:
                self._send(reply)
            elif fault.kind == "cut":
                whole = server.reply(seen, "")
                self._send(whole, len(whole.body) // 2)
                self.close_connection = True
            else:
                if fault.kind == "timeout":
                    server.pause(fault.seconds)
                self._hang_up()

        def _send(self, reply: Reply, size: int | None = None) -> None:
            head = [
                f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('Status',))[0]}",
                f"Date: {format_datetime(datetime.now(UTC) + server.date_offset, usegmt=True)}",
                f"Content-Type: {reply.content_type}",
                f"Content-Length: {len(reply.body)}",
                *(f"{name}: {value}" for name, value in reply.headers),
            ]
            # In one piece: two small writes would wait for each other's acknowledgement.
            self.wfile.write("\r\n".join(head).encode() + b"\r\n\r\n" + reply.body[:size])

        def _hang_up(self) -> None:
            """Reset the connection instead of closing it."""
            self.close_connection = True
            with suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _seen(target: str) -> Seen:
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.path.startswith("/v8/finance/chart/"):
        return Seen("chart", unquote(parts.path.rsplit("/", 1)[1]), query)
    endpoint = {"/": "cookie", "/v1/test/getcrumb": "getcrumb"}.get(parts.path, "other")
    return Seen(endpoint, "", query)
