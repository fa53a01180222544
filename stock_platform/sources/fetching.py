"""How a live source asks its provider: politely, again when it helps, and not when it can't.

What lives here: the kinds of failure and the gate every request to one provider goes through. What
does not: what is asked and what an answer means (`yahoo_client.py`, `cbr.py`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn, TypeVar

from stock_platform.sources.base import SourceError

if TYPE_CHECKING:
    from pybreaker import CircuitBreaker
    from tenacity import RetryCallState

T = TypeVar("T")

RATE_LIMITED = "rate_limited"
UNAUTHORIZED = "unauthorized"
NOT_FOUND = "not_found"
BAD_REQUEST = "bad_request"
SERVER_ERROR = "server_error"
TIMEOUT = "timeout"
CONNECTION = "connection"
MALFORMED = "malformed"
CONSENT_PAGE = "consent_page"
EMPTY = "empty"

TRANSIENT = {RATE_LIMITED, SERVER_ERROR, TIMEOUT, CONNECTION, MALFORMED, CONSENT_PAGE}
"""Failures worth another try. Not `unauthorized`: a client tries once more with a fresh cookie
itself, and a third try with another cookie is no better."""
KINDS = TRANSIENT | {UNAUTHORIZED, NOT_FOUND, BAD_REQUEST, EMPTY}

DOWN = frozenset({CONNECTION, TIMEOUT, SERVER_ERROR})
"""Failures that say nothing of what was asked: many in a row mean that nobody is there."""

_log = logging.getLogger(__name__)


class FetchError(SourceError):
    """A request brought no usable answer.

    Attributes:
        kind: one of `KINDS`.
        retry_after: seconds the provider asked us to wait, None when it did not say.
    """

    def __init__(self, kind: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after


class _Breaker:
    """A circuit breaker and why it opened."""

    def __init__(self, circuit: CircuitBreaker) -> None:
        self.circuit = circuit
        self.closed_until = 0.0
        self.error: FetchError | None = None

    @property
    def state(self) -> str:
        """`closed` lets requests through, `open` none, `half-open` one."""
        return str(self.circuit.current_state)

    def count(self, error: FetchError) -> None:
        """One more failure."""

        def fail() -> NoReturn:
            raise error

        self.error = error
        with suppress(FetchError):
            self.circuit.call(fail)


class Gate:
    """The one door to a provider, shared by all threads of a source.

    Three rules, in the order they apply: two circuit breakers that after several `rate_limited`, or
    many failures of `DOWN`, in a row let nothing through until they have cooled down; a token
    bucket; another try after a failure in `TRANSIENT`, after an exponentially growing random time
    or as long as the provider asked for.

    Args:
        name: the provider's, for messages.
        per_minute: requests a minute, over any longer time; a burst holds five seconds' worth.
        tries: how often `call` asks in all.
        backoff: seconds; before try n+1 a random time up to `backoff * 2**(n-1)` passes.
        longest_wait: seconds; a longer random wait is cut, and when the provider asks for a longer
            one, the failure is final: coming back earlier than asked makes it worse.
        trip_after: `rate_limited` in a row, over all threads, that open the first breaker.
        give_up_after: failures of `DOWN` in a row, over all threads, that open the second.
        cool_down: seconds one stays open; then one try decides whether it closes.
        clock: monotonic seconds. sleep: waits for seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        per_minute: int,
        tries: int = 4,
        backoff: float = 1.0,
        longest_wait: float = 60.0,
        trip_after: int = 5,
        give_up_after: int = 20,
        cool_down: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from pybreaker import CircuitBreaker
        from pyrate_limiter import Rate, StateBucket, TokenBucket
        from tenacity import Retrying, retry_if_exception, stop_after_attempt
        from tenacity import wait_random_exponential as full_jitter

        self.name = name
        self.requests = 0
        """Requests let through so far, whatever came of them."""
        self._clock, self._sleep = clock, sleep
        self._longest_wait, self._cool_down = longest_wait, cool_down
        self._lock = threading.Lock()
        burst = max(1, per_minute // 12)
        self._bucket = StateBucket([Rate(per_minute, 60_000, burst=burst)], TokenBucket())
        self._breakers = {
            kinds: _Breaker(CircuitBreaker(fail_max=most, throw_new_error_on_trip=False))
            for kinds, most in ((frozenset({RATE_LIMITED}), trip_after), (DOWN, give_up_after))
        }
        self._jitter = full_jitter(multiplier=backoff, max=longest_wait)
        self._retrying = Retrying(
            sleep=sleep,
            stop=stop_after_attempt(tries),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another_try),
            before_sleep=self._tell,
            reraise=True,
        )

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, asking again after transient failures.

        Args:
            ask: makes one try. It calls `admit` before each request it sends, and raises
                `FetchError` when no usable answer came.

        Raises:
            FetchError: the last try's; `rate_limited` at once while the breaker is open.
        """
        result: T = self._retrying.copy()(self._try, ask)
        return result

    def admit(self) -> None:
        """Wait for this request's token and count it.

        Raises:
            FetchError: `rate_limited`, the breaker is open.
        """
        from pyrate_limiter import RateItem

        while True:
            with self._lock:
                self._check_open()
                item = RateItem(self.name, int(self._clock() * 1000))
                if self._bucket.put(item):
                    self.requests += 1
                    return
                milliseconds = self._bucket.waiting(item)
            assert isinstance(milliseconds, int)
            self._sleep(max(milliseconds, 1) / 1000)

    def _try(self, ask: Callable[[], T]) -> T:
        self._enter()
        try:
            result = ask()
        except FetchError as error:
            self._note(error)
            raise
        except BaseException:
            self._note(None)
            raise
        self._note(None)
        return result

    def _enter(self) -> None:
        """Let a try begin, the first one after the cool-down as the breaker's probe."""
        with self._lock:
            for breaker in self._breakers.values():
                if breaker.state == "closed":
                    continue
                if breaker.state == "half-open" or self._clock() < breaker.closed_until:
                    self._refuse(breaker)
                breaker.circuit.half_open()

    def _note(self, error: FetchError | None) -> None:
        """Tell the breakers how a try ended.

        Not by running the try inside `breaker.call`: that holds its lock, one try at a time.
        """
        with self._lock:
            for kinds, breaker in self._breakers.items():
                if breaker.state == "open":
                    continue  # this try began before it opened
                if error is None or error.kind not in kinds:
                    breaker.circuit.call(lambda: None)
                    continue
                breaker.count(error)
                if breaker.state == "open":
                    breaker.closed_until = self._clock() + self._cool_down
                    _log.warning(
                        "%s fails too often (%s): nothing is asked of it for %d seconds",
                        self.name,
                        error.kind,
                        self._cool_down,
                    )

    def _check_open(self) -> None:
        for breaker in self._breakers.values():
            if breaker.state == "open":
                self._refuse(breaker)

    def _refuse(self, breaker: _Breaker) -> NoReturn:
        left = max(0.0, breaker.closed_until - self._clock())
        raise FetchError(
            breaker.error.kind if breaker.error else RATE_LIMITED,
            f"{self.name} failed too often in a row, the last time so: {breaker.error}; not asked "
            f"again for another {left:.0f} seconds",
        )

    def _worth_another_try(self, error: BaseException) -> bool:
        return (
            isinstance(error, FetchError)
            and error.kind in TRANSIENT
            and (error.retry_after or 0) <= self._longest_wait
            and all(breaker.state != "open" for breaker in self._breakers.values())
        )

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, FetchError) else None
        return max(asked or 0.0, self._jitter(state))

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        _log.info("asking %s again (try %d): %s", self.name, state.attempt_number + 1, error)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None when unusable."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    moment = parse_http_date(header)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def parse_http_date(header: str | None) -> datetime | None:
    """The moment in a Date or Retry-After header, in UTC; None when unusable."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
