"""The `cbr` source: official metal prices and exchange rates of the Central Bank of Russia.

What lives here composes plan (`cbr_plan.py`), requests (`cbr_client.py`) and rows (`cbr_rows.py`)
into a `Source`. A session is the first day a quotation is valid; nothing is filled forward.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from stock_platform import calendars, universe
from stock_platform.lake import schema
from stock_platform.sources import base, cbr_client, cbr_plan, cbr_rows, cbr_size
from stock_platform.sources.base import Extract
from stock_platform.sources.cbr_client import CbrClient, Client
from stock_platform.sources.cbr_plan import CALENDAR, DAILY, DATASETS, KEY, NAME, Ask, Known
from stock_platform.sources.cbr_quotes import Flaw, Quotes
from stock_platform.sources.cbr_rows import Answer
from stock_platform.sources.fetching import Gate
from stock_platform.sources.responses import Journal
from stock_platform.universe import Instrument

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake
    from stock_platform.lake.store import ObjectStore
    from stock_platform.settings import Settings


class CbrSource(base.Source):
    """The bank's quotations of some instruments.

    Args:
        refetch_sessions: so many of the newest sessions are asked for in every load that reaches
            them, known or not.
        known: the lake as of now; what it has need not be asked for. None: everything is asked.
        journal: what a killed load had fetched already; None: nothing is kept.
        store: where the answers of a load are put for good, with the text `universe_text` of the
            universe file, if there is a journal too.
        recorded: in a replay, the requests there are answers to: these are asked and no others,
            whatever the plan would be. None: no replay.
        now: the present moment, UTC.
    """

    name = NAME
    live = True
    publication_lag = timedelta(days=-1)
    """A quotation is published before its session opens, a day before it closes."""

    def __init__(
        self,
        instruments: list[Instrument],
        client: Client,
        *,
        refetch_sessions: int,
        known: Known | None = None,
        journal: Journal | None = None,
        store: ObjectStore | None = None,
        universe_text: str = "",
        recorded: Sequence[str] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._instruments = instruments
        self._client = client
        self._refetch = refetch_sessions
        self._known = known
        self._journal = journal
        self._store = store
        self._universe_text = universe_text
        self._requests: list[str] = []
        self._recorded = None if recorded is None else cbr_plan.recorded(recorded, instruments)
        self._now = now
        self._unforeseen: list[date] = []
        self._refused: list[Flaw] = []

    @classmethod
    def from_settings(cls, settings: Settings) -> CbrSource:
        """The bank, or the mirror at STOCK_PLATFORM_CBR_URL, and the universe's instruments.

        What the lake of the settings has already is not asked for, and answers are kept there.

        Raises:
            PlatformError: the universe is unusable or has nothing that the bank quotes.
        """
        from stock_platform.lake import Lake

        lake = Lake.open(settings)
        journal = Journal(settings.home / "responses" / NAME, settings.cbr_url)
        gate = Gate("the Central Bank of Russia", per_minute=cbr_client.REQUESTS_PER_MINUTE)
        return cls(
            universe.for_source(settings.universe, NAME),
            CbrClient(settings.cbr_url, gate, journal=journal),
            refetch_sessions=settings.refetch_sessions,
            known=known_in(lake),
            journal=journal,
            store=lake.store,
            universe_text=(settings.universe or universe.PACKAGED).read_text(),
        )

    def span(self) -> tuple[date, date]:
        """The first session of any instrument, and today in Moscow."""
        return min(i.first_session for i in self._instruments), self._today(self._now())

    def instruments(self) -> list[Instrument]:
        """Those of the universe that the bank quotes, ordered by instrument_id."""
        return self._instruments

    def fingerprint(self) -> str:
        """Digest of whom is asked for what and of the day in Moscow: quotes are new once a day."""
        parts = (self._client.url, self._instruments, self._today(self._now()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def check(self) -> str:
        """Ask once for today's rates.

        Raises:
            FetchError: the bank does not answer, or not with rates.
        """
        today = self._today(self._now())
        ask = Ask("fx_rates", DAILY, (), today, today)
        cbr_client.read(ask, self._client.get(ask).body, {})
        return f"{self._client.url} answers; {len(self._instruments)} instruments"

    def notes(self) -> list[str]:
        """Where the bank's own days differ from its calendar here, and what it can't mean."""
        days, notes = self._unforeseen, []
        if days:
            notes.append(
                f"the bank published for {len(days)} days that calendar {CALENDAR} lacks, the last "
                f"{days[-1]}: they are kept; a newer `holidays` package may know them"
            )
        if self._refused:
            last = self._refused[-1]
            notes.append(
                f"{len(self._refused)} quotations of an unbelievable size are refused, the last "
                f"of code {last.code} for {last.session}: {last.detail}"
            )
        return notes

    def extract(self, first: date, last: date, known_at: datetime) -> Extract:
        """Quotations, and reasons for those missing, of the sessions from `first` to `last`.

        With those of the newest sessions if the range reaches them. A quotation is taken from the
        moment it is valid; tomorrow's, though published, is left to the next load. What the lake
        has already is not delivered again.
        """
        today = self._today(known_at)
        start, last = max(first, self.span()[0]), min(last, today)
        window = self._window(today)
        if start > last:
            return Extract({name: schema.dataset(name).empty() for name in _TABLES})
        if last >= window:
            start = max(min(start, window), self.span()[0])
        pending = wanted = cbr_plan.wanted(self._instruments, start, last, known_at)
        held: dict[str, set[date]] = {dataset: set() for dataset in DATASETS.values()}
        if self._known is not None:
            pending = cbr_plan.unsettled(wanted, self._known, window)
        if self._recorded is not None:
            pending = cbr_plan.within(pending, self._recorded)
        if self._known is not None:
            held = cbr_plan.held_days(pending, self._known)
        codes = cbr_plan.codes(self._instruments, start, last)
        answers = self._believable(self._ask(pending, today))
        self._unforeseen = cbr_rows.unforeseen(answers)
        tables = {
            dataset: cbr_rows.quotations(dataset, answers, codes, known_at)
            for dataset in DATASETS.values()
        }
        tables["coverage"] = self._news(
            cbr_rows.coverage(answers, pending, codes, held=held, known_at=known_at)
        )
        return Extract(tables, duplicates=_duplicates(answers))

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
        """The same at once: thirty years of every currency are some hundred thousand rows."""
        yield self.extract(first, last, known_at)
        if self._journal and self._store and self._requests:
            self._journal.pack(
                self._store,
                NAME,
                self._requests,
                known_at=known_at,
                first=first,
                last=last,
                universe=self._universe_text,
                refetch=self._refetch,
            )

    def loaded(self) -> None:
        """Forget the answers kept for a load that would be killed."""
        if self._journal is not None:
            self._journal.clear()

    def _ask(self, pending: pl.DataFrame, today: date) -> list[Answer]:
        rates = pending.filter(pl.col("dataset") == "fx_rates").select("code", "symbol").unique()
        char_codes = dict(rates.iter_rows())
        asks = cbr_plan.asks(pending, today) if self._recorded is None else self._recorded
        self._requests = [ask.request for ask in asks]
        answers = []
        for done, ask in enumerate(asks, start=1):
            answers.append(self._client.answer(ask, char_codes))
            if self.progress:
                self.progress("answers", done, len(asks))
        return answers

    def _believable(self, answers: list[Answer]) -> list[Answer]:
        """The answers without what can't be true, which is in their flaws then."""
        codes = cbr_plan.codes(self._instruments, date.min, date.max)
        answers, self._refused = cbr_size.refuse(answers, codes, self._known)
        return answers

    def _news(self, coverage: pl.DataFrame) -> pl.DataFrame:
        """Without outages of what the lake has as final: nothing is missing there."""
        if self._known is None or coverage.is_empty():
            return coverage
        first, last = cbr_plan.ends(coverage)
        finals = pl.concat(
            self._known(dataset, first, last)
            .filter(pl.col("source") == NAME, pl.col("finality") == schema.FINAL)
            .select(KEY)
            for dataset in DATASETS.values()
        ).with_columns(there=pl.lit(True))
        outage = (pl.col("row_ref") == "") & (pl.col("field") == "response")
        return (
            coverage.join(finals, on=KEY, how="left")
            .filter(~(outage & pl.col("there").fill_null(False)))
            .select(coverage.columns)
        )

    def _window(self, today: date) -> date:
        """The first of the newest sessions that are always asked for; after today if none are."""
        recent = calendars.sessions(CALENDAR, today - 3 * timedelta(days=self._refetch + 7), today)
        return recent[-self._refetch] if self._refetch else today + timedelta(days=1)

    def _today(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(calendars.time_zone(CALENDAR))).date()


def known_in(lake: Lake) -> Known:
    """What a lake holds of the bank's, at the moment it is asked."""
    from stock_platform.lake import as_of

    def known(dataset: str, first: date, last: date) -> pl.DataFrame:
        versions = lake.read(dataset, first, last, source=NAME)
        return as_of.select(schema.dataset(dataset), versions, None)

    return known


_TABLES = (*DATASETS.values(), "coverage")


def _duplicates(answers: list[Answer]) -> int:
    return sum(answer.said.duplicates for answer in answers if isinstance(answer.said, Quotes))


from_settings = CbrSource.from_settings
