"""Several histories asked for at the same time, their answers in order.

What lives here waits. What does not: how one is asked (`yahoo_client.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Protocol

from stock_platform.sources.yahoo_ask import Ask

if TYPE_CHECKING:
    from stock_platform.sources.yahoo_client import Answer

WORKERS = 4
"""Histories asked for at the same time; the gate paces them."""

WAITING = 2 * WORKERS
"""Answers asked for ahead of the one being read, at most."""


class Client(Protocol):
    """Who is asked: `YahooClient`, or `ReplayClient` offline."""

    def history(self, symbol: str, start: date) -> Answer:
        """All bars and actions from the session `start` to now."""

    def close(self) -> None:
        """Give up the connections."""


def answers(
    asks: Iterator[Ask], connect: Callable[[], Client]
) -> Generator[tuple[Ask, Answer | None]]:
    """Asks with their answers, in order, a few of them asked ahead; None: there is nobody to ask.

    Args:
        asks: the questions.
        connect: makes a client, when there is the first one to ask.
    """
    client: Client | None = None
    waiting: deque[tuple[Ask, Future[Answer] | None]] = deque()
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="yahoo")
    try:
        for ask in asks:
            future = None
            if ask.symbol is not None:
                client = client or connect()
                future = pool.submit(client.history, ask.symbol, ask.reach)
            waiting.append((ask, future))
            if len(waiting) >= WAITING:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
        if client is not None:
            client.close()


def _result(item: tuple[Ask, Future[Answer] | None]) -> tuple[Ask, Answer | None]:
    ask, future = item
    return ask, future.result() if future else None
