"""Loads two datasets of three days and dies at the named point by SIGKILL."""

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from stock_platform.lake import extraction, sink
from stock_platform.lake.catalog import Catalog
from stock_platform.lake.store import LocalStore
from tests.support.lake import MONDAY, Workshop, bar, hour, rejected


def load_everything(workshop, at):
    bars = [bar(s, MONDAY + timedelta(days=n)) for s in "AB" for n in range(3)]
    return workshop.load(*bars, coverage=[rejected("f:1"), rejected("f:2")], at=at)


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name, number=1):
    """Die when `owner.name` is called the `number`th time."""
    real, calls = getattr(owner, name), []

    def replacement(*arguments, **named):
        calls.append(1)
        if len(calls) == number:
            die()
        return real(*arguments, **named)

    setattr(owner, name, replacement)


def after(owner, name, number=1):
    real, calls = getattr(owner, name), []

    def replacement(*arguments, **named):
        answer = real(*arguments, **named)
        calls.append(1)
        if len(calls) == number:
            die()
        return answer

    setattr(owner, name, replacement)


POINTS = {
    "extracted, nothing written": lambda: before(sink.Sink, "receive"),
    "schema pinned, dlt not run": lambda: after(extraction, "_pin"),
    "scratch written, nothing linked": lambda: before(os, "link"),
    "one object of three linked": lambda: before(os, "link", 2),
    "all objects linked, not registered": lambda: after(LocalStore, "put_new"),
    "committing": lambda: before(Catalog, "_append"),
    "between datasets": lambda: before(sink.Sink, "receive", 2),
    "second dataset written, not registered": lambda: after(LocalStore, "put_new", 2),
    "everything registered, dlt not finished": lambda: after(sink.Sink, "receive", 2),
}

if __name__ == "__main__":
    workshop = Workshop(Path(sys.argv[1]))
    workshop.lake.snapshot_ids()
    POINTS[sys.argv[2]]()
    load_everything(workshop, hour(0))
