"""Asks Yahoo Finance through yfinance: one request for all of a symbol's history, kept as it came.

What lives here: asking, and telling every kind of failure apart. What does not: which symbols and
since when (`yahoo_plan.py`), and what a bar means (`yahoo_rows.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_platform.sources import yahoo_body
from stock_platform.sources.base import SourceError
from stock_platform.sources.clock import clock_skew
from stock_platform.sources.fetching import MALFORMED, UNAUTHORIZED, FetchError, Gate
from stock_platform.sources.responses import Journal, Response, unanswered
from stock_platform.sources.symbols import yahoo_problem
from stock_platform.sources.yahoo_body import Chart

if TYPE_CHECKING:
    from stock_platform.settings import Settings
    from stock_platform.sources.yahoo_session import Heard, YahooSession

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What Yahoo said about a symbol, or how it failed to.

    Attributes:
        symbol: as asked.
        first: the answer reaches back to this session, as asked.
        fetched_at: our clock when the answer was complete, UTC. In a resumed load that is earlier
            than the load's `known_at`.
        failure: a kind of `fetching.KINDS`, None when the answer is usable.
        detail: the failure in words, for people.
        payload_digest: first 16 hex digits of the body's SHA-256, '' without a body.
        skew: seconds our clock is ahead of Yahoo's, None when it sent no date.
        currency: as Yahoo writes it, so `GBp` for pence; '' when it says none.
        time_zone: of the exchange, IANA. exchange: its name as Yahoo shows it.
        first_trade: the first day of which Yahoo has a bar, None when it does not say.
        bars: session, stamp (epoch seconds), open, high, low, close, volume, adjusted (the close
            less later payments), in Yahoo's order; what it left out is null. Two rows may be of one
            session: a duplicate, or in an open session the live price of now behind the day's own.
        actions: session (ex-date), action (split, dividend, capital_gain), value (new shares per
            old, or per share), currency (null: that of the bars). Prices, volumes and dividends are
            stated in the shares there were after the latest split that Yahoo has applied.
    """

    symbol: str
    first: date
    fetched_at: datetime
    failure: str | None = None
    detail: str = ""
    payload_digest: str = ""
    skew: float | None = None
    currency: str = ""
    time_zone: str = ""
    exchange: str = ""
    first_trade: date | None = None
    bars: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=yahoo_body.BARS))
    actions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=yahoo_body.ACTIONS))


class YahooClient:
    """Asks for histories; safe to use from several threads. Close it, or use it in a `with`.

    Args:
        settings: `yahoo_url`, `yahoo_requests_per_minute` and `home` matter here.
        journal: answers go into it, and what it has kept is not asked again.
        gate: in place of the usual one, `usual_gate(settings)`.
        timeout: seconds for one request.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal | None = None,
        gate: Gate | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        from stock_platform.sources.yahoo_session import YahooSession, own_data

        self.gate = gate or usual_gate(settings)
        self._settings = settings
        self._journal = journal
        self._timeout = timeout
        self._session = YahooSession(self.gate, settings.yahoo_url)
        self._data = own_data(settings.home, self._session)

    @property
    def requests(self) -> int:
        """Requests sent so far, those for cookie and crumb included."""
        return self.gate.requests

    def history(self, symbol: str, start: date) -> Answer:
        """All bars and actions from the session `start` to now, in one request.

        A failure is in the answer, never raised: one symbol's does not end a load.

        Raises:
            SourceError: `symbol` can't be one of Yahoo's.
        """
        from stock_platform.sources.yahoo_session import Heard

        if problem := yahoo_problem(symbol):
            raise SourceError(problem)
        if answer := self._resumed(symbol, start):
            return answer
        heard = Heard(symbol, start)
        try:
            chart = self.gate.call(lambda: _ask(self._session, self._data, heard, self._timeout))
        except FetchError as error:
            response = heard.response or unanswered(symbol, start, error)
            answer = _failed(response, start, error)
        else:
            assert heard.response is not None
            response = heard.response
            answer = _answered(response, start, chart)
        if self._journal:
            self._journal.keep(symbol, [response])
        return answer

    def _resumed(self, symbol: str, start: date) -> Answer | None:
        """What a load that was killed had been told; a failure is asked about again."""
        kept = self._journal.kept(symbol, start, datetime.now(UTC)) if self._journal else None
        if not kept:
            return None
        with ReplayClient(self._settings, kept) as recorded:
            answer = recorded.history(symbol, start)
        return answer if answer.failure is None else None

    def close(self) -> None:
        """Give up the connections."""
        self._session.close()

    def __enter__(self) -> YahooClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ReplayClient:
    """Answers from recorded responses as `YahooClient` did, without a network.

    Args:
        responses: one per symbol; of several the last counts.
    """

    def __init__(self, settings: Settings, responses: Iterable[Response]) -> None:
        from stock_platform.sources.yahoo_session import ReplaySession, own_data

        self._responses = {response.request: response for response in responses}
        self._session = ReplaySession(self._responses)
        self._data = own_data(settings.home, self._session)

    requests = 0

    def history(self, symbol: str, start: date) -> Answer:
        """What was recorded of a symbol, from the session `start`.

        Raises:
            SourceError: nothing was recorded, or it does not reach back to `start`.
        """
        from stock_platform.sources.yahoo_session import Heard

        response = self._responses.get(symbol)
        if response is None or response.first > start:
            reach = f"reaches back to {response.first}" if response else "is not there"
            raise SourceError(
                f"the recorded answer for {symbol} {reach}, {start} is asked for: replay a load "
                "that asked for it"
            )
        heard = Heard(symbol, response.first)
        try:
            chart = _ask(self._session, self._data, heard, TIMEOUT_SECONDS)
        except FetchError as error:
            return _failed(response, start, error)
        return _answered(response, start, chart)

    def close(self) -> None:
        """See `YahooClient.close`."""
        self._session.close()

    def __enter__(self) -> ReplayClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def usual_gate(settings: Settings, *, tries: int = 4) -> Gate:
    """The door to Yahoo as set: `STOCK_PLATFORM_YAHOO_REQUESTS_PER_MINUTE`."""
    return Gate("Yahoo Finance", per_minute=settings.yahoo_requests_per_minute, tries=tries)


def _ask(session: YahooSession, data: Any, heard: Heard, timeout: float) -> Chart:
    """One try: `Ticker.history` of yfinance asks, and the body that comes is read.

    Raises:
        FetchError: no usable answer came.
    """
    import yfinance

    from stock_platform.sources.yahoo_session import Delivered

    ticker = yfinance.Ticker(heard.symbol, session=session)
    ticker._data = data
    # Otherwise a request of its own finds the zone. It only turns a naive start into a moment.
    ticker._tz = "UTC"
    # A day early: in Auckland a session opens on the UTC day before.
    start = datetime.combine(heard.first - timedelta(days=1), time(), UTC)
    trouble: Exception | None = None
    with session.hearing(heard):
        try:
            # Without `end` it asks to now, past yfinance's cache, which keeps failures too.
            ticker.history(
                start=start, auto_adjust=False, actions=True, keepna=True, timeout=timeout
            )
        except Delivered:
            pass
        except FetchError:
            raise
        except Exception as error:  # noqa: BLE001 - yfinance raises what it stumbles over
            trouble = error
    if heard.response is None:
        raise FetchError(
            UNAUTHORIZED,
            f"yfinance could not begin to ask for {heard.symbol}: {trouble!r} (if this stays, "
            "remove the folder yfinance in STOCK_PLATFORM_HOME, where it keeps its cookie)",
        ) from trouble
    chart = yahoo_body.read(heard.symbol, heard.response.body)
    if trouble is not None:
        raise FetchError(
            MALFORMED, f"yfinance can't read Yahoo's answer for {heard.symbol}: {trouble!r}"
        ) from trouble
    return chart


def _answered(response: Response, start: date, chart: Chart) -> Answer:
    return Answer(
        symbol=response.request,
        first=start,
        fetched_at=response.fetched_at,
        payload_digest=_digest(response),
        skew=clock_skew(response.server_date, response.fetched_at),
        currency=chart.currency,
        time_zone=chart.time_zone,
        exchange=chart.exchange,
        first_trade=chart.first_trade,
        bars=chart.bars.filter(pl.col("session") >= start),
        actions=chart.actions.filter(pl.col("session") >= start),
    )


def _failed(response: Response, start: date, error: FetchError) -> Answer:
    return Answer(
        symbol=response.request,
        first=start,
        fetched_at=response.fetched_at,
        failure=error.kind,
        detail=str(error),
        payload_digest=_digest(response),
        skew=clock_skew(response.server_date, response.fetched_at),
    )


def _digest(response: Response) -> str:
    return hashlib.sha256(response.body).hexdigest()[:16] if response.status else ""
