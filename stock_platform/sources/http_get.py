"""One GET over HTTP, its failure told by the kinds of `fetching.py`.

What does not live here: when and how often to ask (`fetching.Gate`), what an answer means.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stock_platform.sources import clock, fetching
from stock_platform.sources.base import SourceError
from stock_platform.sources.fetching import FetchError

if TYPE_CHECKING:
    from requests import Response

TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and without a byte; twenty years of one series take a server a while."""
AGENT = "stock-platform"
"""Says who asks; some providers answer the default of a library with a captcha at times."""

_STATUS = {
    400: fetching.BAD_REQUEST,
    401: fetching.UNAUTHORIZED,
    403: fetching.UNAUTHORIZED,
    404: fetching.NOT_FOUND,
    429: fetching.RATE_LIMITED,
}


def get(
    url: str,
    *,
    timeout: tuple[float, float] = TIMEOUT,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Response:
    """Ask once over HTTP, without a gate.

    Args:
        url: with its query.
        timeout: seconds to connect, and seconds without a byte.
        now: the present moment, UTC.

    Raises:
        FetchError: no answer with status 200 came.
        SourceError: our clock and the server's differ; an answer of any status tells.
        ValueError: the URL is none.
    """
    import requests
    from requests import exceptions

    try:
        got = requests.get(url, timeout=timeout, headers={"User-Agent": AGENT})
    except exceptions.Timeout as error:
        raise FetchError(fetching.TIMEOUT, f"{url}: no answer in time ({error})") from None
    except ValueError:
        raise  # of many kinds, some of them `RequestException` too: the URL is ours to mend
    except exceptions.RequestException as error:
        raise FetchError(fetching.CONNECTION, f"{url}: {error}") from None
    skew = clock.clock_skew(clock.server_date(got.headers), now())
    if problem := clock.clock_problem(skew, f"that of {urlsplit(url).hostname}"):
        raise SourceError(problem)
    if got.status_code != requests.codes.ok:
        server = fetching.SERVER_ERROR if got.status_code >= 500 else fetching.BAD_REQUEST
        raise FetchError(
            _STATUS.get(got.status_code, server),
            f"{url}: HTTP status {got.status_code}",
            fetching.parse_retry_after(got.headers.get("Retry-After"), now()),
        )
    return got
