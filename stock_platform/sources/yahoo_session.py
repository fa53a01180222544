"""The HTTP session handed to yfinance: it throttles, redirects, records and judges what passes.

What lives here: everything that depends on how yfinance 1.7 sends its requests. It asks for a
cookie and a crumb, then for the chart, and repeats any refused chart at once with another cookie.
That repetition is kept for 401 and 403, which it is made for, and prevented for the rest. A usable
chart ends its call (see `Delivered`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import curl_cffi.requests as curl
from curl_cffi.requests.exceptions import ConnectionError as CurlConnectionError
from curl_cffi.requests.exceptions import IncompleteRead, RequestException, Timeout

from stock_platform.sources import yahoo_body
from stock_platform.sources.clock import server_date
from stock_platform.sources.fetching import (
    CONNECTION,
    CONSENT_PAGE,
    MALFORMED,
    TIMEOUT,
    UNAUTHORIZED,
    FetchError,
    Gate,
    parse_retry_after,
)
from stock_platform.sources.responses import Response, no_answer

CHART = "/v8/finance/chart/"
COOKIE_HOST = "fc.yahoo.com"
SIDE_REQUESTS = 24
"""Requests other than charts in a session's life. Two bring cookie and crumb, six renew them once;
the chart is answered without them too, so when they fail again and again they are given up."""

_log = logging.getLogger(__name__)
_prepared = threading.Lock()


class Delivered(BaseException):
    """Ends yfinance's call when a usable chart is here.

    The body is what is read (`yahoo_body.py`). The frame that yfinance would go on to make of it
    takes 50 ms for 20 years, four times as long as all the rest of a request, and nobody looks at
    it. No `Exception`, for yfinance may catch those.
    """


@dataclass
class Heard:
    """One history being asked for, and the last answer to it."""

    symbol: str
    first: date
    response: Response | None = None
    refusals: int = 0


class YahooSession(curl.Session[Any]):
    """Sends what yfinance asks for, in any number of threads.

    Args:
        gate: admits every request.
        base_url: asked in place of every host of Yahoo, which is named in `X-Forwarded-Host`.
    """

    def __init__(self, gate: Gate, base_url: str = "") -> None:
        super().__init__(impersonate="chrome")
        self._gate = gate
        self._base_url = base_url.rstrip("/")
        self._current = threading.local()
        self._side_lock = threading.Lock()
        self._side_left = SIDE_REQUESTS
        self._cookie: Any = None

    @contextmanager
    def hearing(self, heard: Heard) -> Iterator[None]:
        """What this thread's requests bring goes into `heard`."""
        heard.response, heard.refusals = None, 0
        self._current.heard = heard
        try:
            yield
        finally:
            self._current.heard = None

    def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one request of yfinance's.

        Raises:
            Delivered: a chart's answer is usable; `heard` has it.
            FetchError: a chart's answer is no use; for cookies and crumbs curl's own errors, after
                which yfinance goes on without them.
        """
        heard: Heard = self._current.heard
        if not urlsplit(url).path.startswith(CHART):
            return self._side_request(heard, method, url, *args, **kwargs)
        heard.response = None
        try:
            answer = self._send(heard, method, url, *args, **kwargs)
        except RequestException as error:
            raise _unanswered(heard.symbol, error) from error
        self._judge(heard, answer)
        return answer

    def _side_request(self, heard: Heard, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        """Cookie, crumb or consent.

        yfinance asks for the cookie before every chart unless it found one of Yahoo's own domain on
        disk, which behind a proxy it never does; so one that we hold is not asked for again.
        yfinance empties the jar when it wants another.
        """
        if _host(url) == COOKIE_HOST and self._cookie is not None and len(self.cookies):
            return self._cookie
        with self._side_lock:
            self._side_left -= 1
            left = self._side_left
        if left == 0:
            _log.warning(
                "no cookie or crumb of Yahoo's in %d requests: going on without", SIDE_REQUESTS
            )
        if left <= 0:
            raise CurlConnectionError("cookie and crumb were given up")
        answer = self._send(heard, method, url, *args, **kwargs)
        if _host(url) == COOKIE_HOST:
            self._cookie = answer
        path = urlsplit(url).path
        if path.endswith("/getcrumb") and (answer.status_code != 200 or b"<" in answer.content):
            # yfinance would keep the refusal's text as the crumb.
            raise CurlConnectionError(f"no crumb: status {answer.status_code}")
        if urlsplit(answer.url).path.startswith(CHART):
            self._judge(heard, answer)  # a consent form that led on to the chart
        return answer

    def _send(self, heard: Heard, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        self._gate.admit()
        if not self._base_url:
            return super().request(method, url, *args, **kwargs)
        parts = urlsplit(url)
        kwargs["headers"] = {**(kwargs.get("headers") or {}), "X-Forwarded-Host": parts.netloc}
        target = self._base_url + (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        answer = super().request(method, target, *args, **kwargs)
        if answer.redirect_count == 0:
            answer.url = answer.url.replace(self._base_url, f"{parts.scheme}://{parts.netloc}", 1)
        return answer

    def _judge(self, heard: Heard, answer: Any) -> None:
        """Record a chart's answer, and end yfinance's call unless it should ask again."""
        heard.response = response = self._record(heard, answer)
        error = yahoo_body.failure(heard.symbol, response.status, response.body)
        if error is None:
            self._end_call()
            return
        asked = answer.headers.get("Retry-After")
        error.retry_after = parse_retry_after(asked, response.fetched_at)
        if error.kind == UNAUTHORIZED and heard.refusals == 0:
            heard.refusals += 1
            return  # yfinance asks again with a fresh cookie
        if error.kind == CONSENT_PAGE and _host(answer.url).endswith("consent.yahoo.com"):
            return  # yfinance fills in the form
        raise error

    def _end_call(self) -> None:
        raise Delivered

    def _record(self, heard: Heard, answer: Any) -> Response:
        return Response(
            request=heard.symbol,
            first=heard.first,
            url=without_crumb(answer.url),
            status=answer.status_code,
            fetched_at=datetime.now(UTC),
            body=answer.content,
            server_date=server_date(answer.headers),
        )


class ReplaySession(YahooSession):
    """Gives yfinance recorded answers; nothing reaches the network."""

    def __init__(self, responses: Mapping[str, Response]) -> None:
        super().__init__(Gate("recorded answers", per_minute=1_000_000_000, tries=1))
        self._responses = responses

    def _send(self, heard: Heard, method: Any, url: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        answer = curl.Response()
        answer.url = url
        if not urlsplit(url).path.startswith(CHART):
            answer.content = b"recorded"
            return answer
        recorded = self._responses[heard.symbol]
        if error := no_answer(recorded):
            raise error
        answer.url, answer.content = recorded.url, recorded.body
        answer.status_code = recorded.status
        return answer

    def _record(self, heard: Heard, answer: Any) -> Response:  # noqa: ARG002
        return self._responses[heard.symbol]


def own_data(home: Path, session: YahooSession) -> Any:
    """The keeper of cookie and crumb that yfinance uses, one for this session alone.

    By itself yfinance makes one for the whole process, so that two servers (a live one and a
    recording) would be sent each other's crumbs.
    """
    import yfinance
    from yfinance.data import YfData

    yfinance.config.debug.hide_exceptions = False
    # What fails is raised, and told once by us; yfinance would say it again for every request.
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    with _prepared:
        if not getattr(own_data, "located", False):
            # yfinance can't move its databases once one is open: the process's first home wins.
            yfinance.set_tz_cache_location(str(home / "yfinance"))
            own_data.located = True  # type: ignore[attr-defined]
    data = object.__new__(YfData)  # past the metaclass that makes it a singleton
    data.__init__(session)
    return data


def without_crumb(url: str) -> str:
    """The URL less the crumb, which is a secret of the session's."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "crumb"]
    return urlunsplit(parts._replace(query=urlencode(query)))


def _unanswered(symbol: str, error: RequestException) -> FetchError:
    if isinstance(error, Timeout):
        kind = TIMEOUT
    elif isinstance(error, IncompleteRead):
        kind = MALFORMED
    else:
        kind = CONNECTION
    return FetchError(kind, f"no answer of Yahoo's for {symbol}: {error}")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""
