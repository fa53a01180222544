"""Progress of long work on standard error: one moving line on a terminal, few lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is."""

_LOG_INTERVAL_SECONDS = 10.0


@contextmanager
def reporter(stage: str) -> Iterator[Progress]:
    """Yield a `Progress` that prints the stage, share, rate per second and time left."""
    terminal = sys.stderr.isatty()
    started: dict[str, float] = {}
    printed = 0.0

    def report(what: str, done: int, total: int) -> None:
        nonlocal printed
        now = time.monotonic()
        start = started.setdefault(what, now)
        if done < total and now - printed < (0.1 if terminal else _LOG_INTERVAL_SECONDS):
            return
        printed = now
        rate = done / max(now - start, 1e-3)
        left = (total - done) / rate if rate else 0.0
        line = f"  {stage}: {what} {done:,}/{total:,} ({rate:,.0f}/s, {left:,.0f} s left)"
        sys.stderr.write(f"\r\x1b[2K{line}" if terminal else f"{line}\n")
        sys.stderr.flush()

    yield report
    if terminal and printed:
        sys.stderr.write("\r\x1b[2K")
