"""What every source is, and the rules all of them share.

What lives here: the `Source` protocol, when a row counts as available, which expected bars are
absent, and the wrapping of a source for dlt. What does not: anything one source alone decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from stock_platform import calendars
from stock_platform.errors import PlatformError
from stock_platform.lake import schema
from stock_platform.progress import Progress
from stock_platform.universe import Instrument

if TYPE_CHECKING:
    import pyarrow as pa

FETCHED_LATE = timedelta(days=3)
"""A row fetched more than this after it was due is history: it was available to the world when it
was due, not when we came for it. Three days let a Friday's bar be fetched on the next Monday."""

DATASETS = ("equity_prices", "corporate_actions", "coverage")
"""What a source of shares delivers."""


class SourceError(PlatformError):
    """A source can't deliver; the message names the thing and the mend."""


@dataclass(frozen=True)
class Extract:
    """What a source says about some sessions.

    Attributes:
        tables: by dataset name, with exactly the columns of `lake/schema.py`, sorted by key.
        duplicates: rows left out because another row said the same.
        part: how much of the delivery is done with this, of how much; for the progress.
    """

    tables: dict[str, pl.DataFrame]
    duplicates: int = 0
    part: tuple[int, int] | None = None


class Source(Protocol):
    """A provider of daily bars, corporate actions and the reasons for what it lacks.

    A source that names it as its base class inherits what has a body here.
    """

    name: str
    """The name in the `source` column and in lake paths."""

    live: bool
    """Whether it asks a provider for what is new today; `span` then ends with today's date."""

    progress: Progress | None = None
    """Told how much of a delivery has been extracted; whoever loads sets it."""

    @property
    def publication_lag(self) -> timedelta:
        """A bar is due this long after its session's close."""

    def span(self) -> tuple[date, date]:
        """First and last session; the last is the source's "now"."""

    def instruments(self) -> list[Instrument]:
        """What it has, ordered by instrument_id."""

    def fingerprint(self) -> str:
        """A cheap digest of what it would deliver: equal digest, equal delivery."""

    def check(self) -> str:
        """What `stock-platform doctor` says of it, in one line, found without fetching any data.

        It takes seconds at most and changes nothing; a network source asks its server once.

        Raises:
            PlatformError: it could not deliver; the message names the thing and the mend.
        """

    def notes(self) -> list[str]:
        """What a user should know of the delivery as a whole, told once in a run; often nothing."""
        return []

    def extract(self, first: date, last: date, known_at: datetime) -> Extract:
        """Everything about the sessions from `first` to `last`, as it stands at `known_at`."""
        return together(list(self.chunks(first, last, known_at)))

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
        """The same in consecutive ranges of whole sessions, each of bounded size."""

    def dlt_source(self, first: date, last: date, known_at: datetime) -> Any:
        """The same as a dlt source with one resource per dataset, yielding Arrow tables."""
        return as_dlt_source(self, first, last, known_at)

    def loaded(self) -> None:
        """Called when the lake holds everything of the last delivery.

        What the source kept in case the load is killed, so as not to ask its provider again, is
        then no longer needed.
        """
        return  # without a statement mypy takes it for abstract


def availability(due_at: pl.Expr, known_at: datetime) -> list[pl.Expr]:
    """The columns `available_at` and `availability` of rows first fetched at `known_at`.

    The one place where the rule stands. A row fetched long after it was due was available when it
    was due (`assumed`); any other when we fetched it (`observed`), a row fetched before it was due
    (a provisional bar) included. The lake makes later revisions `observed`: only it knows that a
    row came before.

    Args:
        due_at: session close + publication lag; for a corporate action the open of its ex-date.
        known_at: the moment of the fetch.
    """
    late = due_at + FETCHED_LATE < known_at
    return [
        pl.when(late).then(due_at).otherwise(pl.lit(known_at)).alias("available_at"),
        pl.when(late)
        .then(pl.lit(schema.ASSUMED))
        .otherwise(pl.lit(schema.OBSERVED))
        .alias("availability"),
    ]


def finality(due_at: pl.Expr, known_at: datetime) -> pl.Expr:
    """The column `finality`: a bar fetched before it was due may still change."""
    return (
        pl.when(due_at <= known_at)
        .then(pl.lit(schema.FINAL))
        .otherwise(pl.lit(schema.PROVISIONAL))
        .alias("finality")
    )


def conform(dataset: str, frame: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """The frame with exactly the dataset's columns and types, sorted by its key.

    Raises:
        polars.exceptions.ColumnNotFoundError, InvalidOperationError: a fault in the source's code.
    """
    shape = schema.dataset(dataset)
    columns = [pl.col(name).cast(dtype) for name, dtype in shape.columns.items()]
    return frame.lazy().select(columns).sort(shape.key).collect()


def no_rows() -> dict[str, pl.DataFrame]:
    """An empty table of every dataset that a source of shares delivers."""
    return {name: schema.dataset(name).empty() for name in DATASETS}


def together(parts: list[Extract]) -> Extract:
    """Extracts of a source of shares as one."""
    return Extract(
        {
            name: conform(name, pl.concat([empty, *[part.tables[name] for part in parts]]))
            for name, empty in no_rows().items()
        },
        duplicates=sum(part.duplicates for part in parts),
    )


def clock(instruments: list[Instrument], first: date, last: date) -> pl.DataFrame:
    """The sessions of every calendar in use: calendar, session, open_at, close_at.

    Raises:
        CalendarError: a calendar ends too soon after the last session of its instruments.
    """
    in_use: dict[str, date] = {}
    for one in instruments:
        end = min(last, one.last_session or last)
        in_use[one.calendar] = max(end, in_use.get(one.calendar, end))
    tables = []
    for calendar, until in sorted(in_use.items()):
        calendars.check_reach(calendar, until)
        start, end = calendars.bounds(calendar)
        tables.append(calendars.session_table(calendar, max(first, start), min(last, end)))
    return pl.concat(tables).drop("session_number", "days_ahead")


def expected(
    instruments: list[Instrument], first: date, last: date, source: str = ""
) -> pl.DataFrame:
    """Every (instrument, session) from `first` to `last` between its first and last session.

    Sessions between two validity rows of a symbol are expected too: that a provider has no bars
    there is a reason to be told, not to be passed over.

    Args:
        instruments: of any calendars.
        first: included.
        last: included.
        source: whose symbols to tell; those that pages show where it has none.

    Returns:
        instrument_id, symbol (valid at the session), currency, calendar, session, open_at,
        close_at; sorted by instrument_id and session.
    """
    spans = [
        (i.instrument_id, symbol, i.currency, i.calendar, start, end)
        for i in instruments
        for symbol, start, end in i.symbol_spans(
            source, max(first, i.first_session), min(last, i.last_session or last)
        )
    ]
    names = ("instrument_id", "symbol", "currency", "calendar")
    frame = pl.DataFrame(
        spans,
        schema={**dict.fromkeys(names, pl.String), "from": pl.Date, "to": pl.Date},
        orient="row",
    )
    sessions = clock(instruments, first, last)
    return (
        frame.lazy()
        .join(sessions.lazy(), on="calendar")
        .filter(pl.col("session").is_between("from", "to"))
        .drop("from", "to")
        # A join keeps no order.
        .sort("instrument_id", "session")
        .collect()
    )


def split_range(first: date, last: date, days: int) -> Iterator[tuple[date, date]]:
    """Consecutive ranges of at most `days` days that together are [first, last]."""
    while first <= last:
        end = min(last, first + timedelta(days=days - 1))
        yield first, end
        first = end + timedelta(days=1)


def as_dlt_source(source: Source, first: date, last: date, known_at: datetime) -> Any:
    """`source.chunks` as a dlt source: one resource per dataset of the lake, yielding Arrow tables.

    The resource of a dataset that the source does not deliver yields nothing. The resources share
    one pass over the chunks: whichever is asked first pulls the next chunk and leaves the other
    tables for their own resource.
    """
    import dlt

    chunks = source.chunks(first, last, known_at)
    waiting: Mapping[str, deque[pl.DataFrame]] = {name: deque() for name in schema.DATASETS}

    def tables(dataset: str) -> Iterator[pa.Table]:
        while True:
            while not waiting[dataset]:
                chunk = next(chunks, None)
                if chunk is None:
                    return
                if source.progress and chunk.part:
                    source.progress("answers", *chunk.part)
                for name, table in chunk.tables.items():
                    if table.height:
                        waiting[name].append(table)
            yield waiting[dataset].popleft().to_arrow(compat_level=pl.CompatLevel.oldest())

    @dlt.source(name=source.name, max_table_nesting=0)
    def build() -> Any:
        for name in schema.DATASETS:
            yield dlt.resource(tables(name), name=name, write_disposition="append")

    return build()
