"""Asking the Central Bank of Russia over HTTP.

What lives here: one request, through the gate, judged by status and content, and kept as it came.
What does not: which requests are made (`cbr_plan.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from stock_platform.sources import cbr_xml, clock, fetching, http_get
from stock_platform.sources.base import SourceError
from stock_platform.sources.cbr_plan import DAILY, METALL, Ask
from stock_platform.sources.cbr_quotes import Quotes
from stock_platform.sources.cbr_rows import Answer
from stock_platform.sources.fetching import FetchError, Gate
from stock_platform.sources.responses import Journal, Response, no_answer, unanswered

REQUESTS_PER_MINUTE = 60


class Client(Protocol):
    """Who is asked: `CbrClient`, or `ReplayClient` offline."""

    url: str

    def answer(self, ask: Ask, char_codes: Mapping[str, str]) -> Answer:
        """What the bank says, or why it says nothing."""

    def get(self, ask: Ask) -> Response:
        """The bare answer."""


class CbrClient:
    """The bank, one request at a time.

    Args:
        url: the bank's base URL, or a mirror's.
        journal: keeps answers so that a killed load need not ask again; None: none are kept.
        timeout: seconds to connect, and seconds without a byte.
    """

    def __init__(
        self,
        url: str,
        gate: Gate,
        *,
        journal: Journal | None = None,
        timeout: tuple[float, float] = http_get.TIMEOUT,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.url = url.rstrip("/")
        self.gate = gate
        self._journal = journal
        self._timeout = timeout
        self._now = now

    def answer(self, ask: Ask, char_codes: Mapping[str, str]) -> Answer:
        """What the bank says, or why it says nothing. Never raises `FetchError`.

        `char_codes` are the ISO codes of currencies by their id at the bank.

        Raises:
            SourceError: the URL in the settings is none.
        """
        kept = self._journal.kept(ask.request, ask.first, self._now()) if self._journal else None
        if kept and no_answer(kept[-1]) is None:
            return Answer(ask, read(ask, kept[-1].body, char_codes), _digest(kept[-1].body))

        def attempt() -> tuple[Response, Quotes]:
            response = self.get(ask)
            return response, read(ask, response.body, char_codes)

        try:
            response, quotes = self.gate.call(attempt)
        except FetchError as error:
            if self._journal:
                self._journal.keep(ask.request, [unanswered(ask.request, ask.first, error)])
            return Answer(ask, error, "")
        if self._journal:
            self._journal.keep(ask.request, [response])
        return Answer(ask, quotes, _digest(response.body))

    def get(self, ask: Ask) -> Response:
        """Ask once.

        Raises:
            FetchError: no answer with status 200 came.
            SourceError: the URL in the settings is none.
        """
        url = self.url + ask.request
        self.gate.admit()
        try:
            got = http_get.get(url, timeout=self._timeout, now=self._now)
        except ValueError as error:
            raise SourceError(
                f"STOCK_PLATFORM_CBR_URL={self.url!r} can't be asked: {error}; write it as"
                " https://www.cbr.ru"
            ) from None
        moment = self._now()
        said_at = clock.server_date(got.headers)
        return Response(
            ask.request, ask.first, url, got.status_code, moment, got.content, server_date=said_at
        )


class ReplayClient:
    """Answers from recorded responses as `CbrClient` did, without a network.

    Args:
        responses: one per request; of several the last counts.
    """

    url = "recorded answers"

    def __init__(self, responses: Iterable[Response]) -> None:
        self._responses = {response.request: response for response in responses}

    def answer(self, ask: Ask, char_codes: Mapping[str, str]) -> Answer:
        """What was recorded of a request.

        Raises:
            SourceError: nothing was.
        """
        response = self.get(ask)
        try:
            if error := no_answer(response):
                raise error
            return Answer(ask, read(ask, response.body, char_codes), _digest(response.body))
        except FetchError as error:
            return Answer(ask, error, "")

    def get(self, ask: Ask) -> Response:
        """See `answer`."""
        if ask.request not in self._responses:
            raise SourceError(
                f"the recorded answer for {ask.request} is not there: replay a load that asked it"
            )
        return self._responses[ask.request]


def read(ask: Ask, body: bytes, char_codes: Mapping[str, str]) -> Quotes:
    """The quotes of an answer to `ask`.

    Raises:
        FetchError: it is no answer to that, or has no record although it is about weeks.
    """
    if ask.endpoint == DAILY:
        return cbr_xml.daily(body, ask.first, char_codes)
    if ask.endpoint == METALL:
        said = cbr_xml.metals(body, ask.first, ask.last)
    else:
        said = cbr_xml.dynamic(body, ask.codes[0], ask.first, ask.last)
    if not said.published and not said.flaws:
        raise FetchError(
            fetching.EMPTY,
            f"{ask.request}: the answer has no record; is it a code or id that the bank quotes?",
        )
    return said


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
