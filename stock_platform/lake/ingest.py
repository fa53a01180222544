"""One load: a source's delivery, through dlt, into the lake. The only way anything is written.

What a source delivers is `sources/`; what the lake makes of it is `sink.py`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake import extraction
from stock_platform.lake.lake import Lake
from stock_platform.lake.sink import Sink
from stock_platform.progress import Progress

if TYPE_CHECKING:
    from stock_platform.settings import Settings
    from stock_platform.sources.base import Source

BY_SESSION_SCHEMA = pl.Schema(
    {"session": pl.Date(), "dataset": pl.String(), "rows": pl.UInt32(), "written": pl.UInt32()}
)


class IngestError(PlatformError):
    """A load can't be started; the message says why and what to do."""


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes:
        rows_received: as delivered; a row delivered twice counts twice here and nowhere else.
        rows_unchanged: received and known already.
        rows_ignored: provisional, of a bar that is final already.
        quarantined: coverage rows received that name a bad row of the source.
        by_session: session, dataset, rows (received), written; ordered.
        adopted_objects: left by a killed load, registered by this one.
    """

    known_at: datetime
    rows_received: int
    rows_written: int
    rows_unchanged: int
    rows_ignored: int
    objects_written: int
    quarantined: int
    adopted_objects: int
    by_session: pl.DataFrame


def load(
    source: Source,
    lake: Lake,
    first: date,
    last: date,
    *,
    settings: Settings,
    known_at: datetime | None = None,
    progress: Progress | None = None,
) -> LoadReport:
    """Load the sessions from `first` to `last`.

    Loading what the lake knows already writes nothing and commits nothing; after a kill, or an
    error, load again. `known_at` is the moment of the fetch: now, unless a log of fetches is
    replayed in its order. `progress` is called as (step, done, total).

    Raises:
        PlatformError: bad input, a broken contract, a second load of this source at the same time.
    """
    if first > last:
        raise IngestError(f"nothing to load: the range {first} to {last} ends before it begins")
    if known_at is not None and known_at.tzinfo is None:
        raise IngestError(f"known_at {known_at.isoformat()} has no time zone: give it in UTC")
    directory = settings.home / "dlt"
    with _one_at_a_time(directory, source.name):
        # Taken inside the lock: a load that waited is later than the one it waited for.
        moment = (known_at or datetime.now(UTC)).astimezone(UTC)
        sink = Sink(lake, source.name, moment, progress)
        sink.adopt(first, last)
        source.progress = progress
        extraction.run(
            source.name,
            lambda: source.dlt_source(first, last, moment),
            directory,
            sink.receive,
        )
        source.loaded()
    return _report(sink)


def _report(sink: Sink) -> LoadReport:
    counts = sink.counts.values()
    empty = pl.DataFrame(schema=BY_SESSION_SCHEMA)
    return LoadReport(
        known_at=sink.known_at,
        rows_received=sum(item.received for item in counts),
        rows_written=sum(item.written for item in counts),
        rows_unchanged=sum(item.unchanged for item in counts),
        rows_ignored=sum(item.ignored for item in counts),
        objects_written=sum(item.objects for item in counts),
        quarantined=sink.quarantined,
        adopted_objects=sink.adopted,
        by_session=pl.concat([empty, *sink.by_session]).sort("session", "dataset"),
    )


@contextmanager
def _one_at_a_time(directory: Path, source: str) -> Iterator[None]:
    """A lock the kernel drops with the process, so a killed load never blocks the next."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / f"{source}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise IngestError(
            f"can't write to {directory}: {error.strerror} (set STOCK_PLATFORM_HOME to a directory"
            " of yours)"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode() or "unknown"
            raise IngestError(
                f"source {source!r} is being loaded by process {holder}: wait until it is done,"
                " or stop it, and run this again"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
