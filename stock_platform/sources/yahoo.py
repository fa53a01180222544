"""The `yahoo` source: daily bars and corporate actions from Yahoo Finance, asked through yfinance.

What lives here composes plan (`yahoo_plan.py`), client (`yahoo_client.py`) and rows
(`yahoo_tables.py`) into a `Source`. One request brings all of an instrument's history asked for.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from stock_platform import calendars, universe
from stock_platform.sources import base, yahoo_ask, yahoo_asking, yahoo_tables
from stock_platform.sources.base import Extract, SourceError
from stock_platform.sources.clock import clock_problem
from stock_platform.sources.yahoo_ask import NAME
from stock_platform.sources.yahoo_asking import Client
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.sources.yahoo_plan import Plan
from stock_platform.sources.yahoo_settled import Settled
from stock_platform.universe import Instrument

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake
    from stock_platform.settings import Settings
    from stock_platform.sources.responses import Journal

EARLIEST = date(2000, 1, 3)
"""The first session asked for, which is the first daily partition (`partitions.START`)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """Where the responses of a load are kept, for resuming it and for replaying it.

    Attributes:
        journal: holds them while the load is in progress.
        open_lake: the lake they are packed into.
        universe: the text of the universe file.
    """

    journal: Journal
    open_lake: Callable[[], Lake]
    universe: str


class YahooSource(base.Source):
    """Yahoo Finance, for the instruments of a universe.

    Args:
        instruments: those with symbols of `yahoo`, ordered by instrument_id.
        connect: makes a client; with True one that uses the record's journal.
        known: what the lake holds; None: nothing.
        refetch: how many of the newest sessions are asked for in every load that reaches them.
        record: where responses are kept; None: nowhere.
        settled: whose history is accounted for; None: noted beside the record's journal.
        reach: in a replay, by symbol, how far the recorded answer reaches back; nothing beyond is
            asked, whatever the plan would be. None: no replay.
        url: whom `connect` asks, for messages and the fingerprint.
        now: the present moment, UTC.
    """

    name = NAME
    live = True
    publication_lag = timedelta(hours=24)
    """A volume still changes for about a day after the close."""

    def __init__(
        self,
        instruments: list[Instrument],
        connect: Callable[[bool], Client],
        *,
        known: LakeView | None = None,
        refetch: int = 10,
        record: Record | None = None,
        settled: Settled | None = None,
        reach: Mapping[str, date] | None = None,
        url: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._instruments = instruments
        self._connect = connect
        self._known = known or LakeView(NAME)
        self._refetch = refetch
        self._record = record
        self._settled = settled or Settled(
            record.journal.folder / "settled.json" if record else None
        )
        self._accounted: dict[str, str] = {}
        self._reach = reach
        self._url = url
        self._now = now
        self._notes: list[str] = []

    @classmethod
    def from_settings(cls, settings: Settings) -> YahooSource:
        """Yahoo, or what STOCK_PLATFORM_YAHOO_URL names, and the universe's instruments.

        Raises:
            PlatformError: the universe is unusable or has nothing to ask Yahoo for.
        """
        from stock_platform.lake.lake import Lake
        from stock_platform.sources.responses import Journal

        journal = Journal(settings.home / "responses" / NAME, settings.yahoo_url)

        def connect(recorded: bool) -> Client:
            from stock_platform.sources.yahoo_client import YahooClient  # yfinance takes a second

            return YahooClient(settings, journal=journal if recorded else None)

        def open_lake() -> Lake:
            return Lake.open(settings)

        return cls(
            universe.for_source(settings.universe, NAME),
            connect,
            known=LakeView(NAME, open_lake),
            refetch=settings.refetch_sessions,
            record=Record(journal, open_lake, (settings.universe or universe.PACKAGED).read_text()),
            url=settings.yahoo_url,
        )

    def span(self) -> tuple[date, date]:
        """The first session of any instrument, or of the partitions, and today in UTC."""
        first = min(i.first_session for i in self._instruments)
        return max(first, EARLIEST), self._now().date()

    def instruments(self) -> list[Instrument]:
        """Those of the universe with a symbol of Yahoo, ordered by instrument_id."""
        return self._instruments

    def fingerprint(self) -> str:
        """Digest of whom is asked for what, and of the newest session to open, close and be due.

        So two loads of the same hour deliver the same, and a load after a close does not pass for
        one before it.
        """
        now = self._now()
        moments: list[object] = []
        for calendar in sorted({i.calendar for i in self._instruments}):
            start, end = calendars.bounds(calendar)
            days = calendars.session_table(
                calendar, max(start, now.date() - timedelta(days=30)), min(end, now.date())
            )
            moments += [
                days.filter(at <= now)["session"].max()
                for at in (pl.col("open_at"), pl.col("close_at"), _due())
            ]
        parts = (self._url, self._refetch, [asdict(i) for i in self._instruments], moments)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def check(self) -> str:
        """Ask once for the last days of one instrument.

        Raises:
            SourceError: Yahoo does not answer, or our clock is wrong.
        """
        one = next((i for i in self._instruments if i.asked_as(NAME) and not i.last_session), None)
        where = self._url or "Yahoo Finance"
        if one is None:
            raise SourceError(
                f"no instrument of the universe can be asked of {where}: each has a last_session, "
                "or a symbol that is another company's by now"
            )
        client = self._connect(False)
        try:
            answer = client.history(str(one.asked_as(NAME)), self._now().date() - timedelta(days=7))
        finally:
            client.close()
        if problem := clock_problem(answer.skew, "Yahoo's"):
            raise SourceError(problem)
        if answer.failure is not None:
            raise SourceError(
                f"{where}: {yahoo_tables.FAILURES[answer.failure]} ({answer.detail}): check the "
                "network, STOCK_PLATFORM_YAHOO_URL and the universe, or try again later"
            )
        return f"{where} answers; {len(self._instruments)} instruments"

    def notes(self) -> list[str]:
        """What was odd in the last delivery."""
        return self._notes

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
        """Bars, actions and reasons, one instrument after the other, in order of instrument_id.

        Besides the sessions from `first` to `last` these are, when the load reaches the newest
        sessions, the trailing window and what was missed since; see `yahoo_plan.Plan`.

        Raises:
            SourceError: our clock and Yahoo's differ, or a symbol of the universe can't be one.
        """
        self._notes = []
        self._known.refresh()
        plan = Plan(
            self._instruments,
            (max(first, EARLIEST), last),
            moment=known_at,
            view=self._known,
            refetch=self._refetch,
            settled=self._settled,
        )
        asks = plan.asks()
        if self._reach is not None:
            asks = yahoo_ask.within(asks, self._reach)
        asked = []
        unsettled = {*plan.unsettled}
        begins = self._known.begins()
        told = False
        place = {one.instrument_id: n for n, one in enumerate(self._instruments, start=1)}
        answers = yahoo_asking.answers(asks, lambda: self._connect(True))
        for ask, answer in answers:
            if answer is not None:
                if problem := clock_problem(answer.skew, "Yahoo's"):
                    answers.close()  # what is still under way would go into the journal
                    self._forget()  # else a load after the mend resumes from the false moments
                    raise SourceError(problem)
                asked.append(answer.symbol)
            read = yahoo_tables.read(ask, answer, known_at, self.publication_lag)
            for note in read.notes:
                self._notes.append(f"{ask.instrument.instrument_id}: {note}")
                _log.warning(self._notes[-1])
            if not read.settles:
                unsettled.discard(ask.instrument.instrument_id)
            told = told or any(table.height for table in read.extract.tables.values())
            begins = min(filter(None, (begins, _first_told(read.extract))), default=None)
            part = (place[ask.instrument.instrument_id], len(place))
            yield replace(read.extract, part=part)
        self._accounted = {
            one.instrument_id: plan.expectation(one, begins)
            for one in self._instruments
            if one.instrument_id in unsettled
        }
        # Reasons may be told without a question, by the universe alone: they are replayed too.
        if self._record and (asked or told):
            self._record.journal.pack(
                self._record.open_lake().store,
                NAME,
                asked,
                known_at=known_at,
                first=first,
                last=last,
                universe=self._record.universe,
                refetch=self._refetch,
            )

    def loaded(self) -> None:
        """Forget the answers kept for a load that would be killed, and note who is settled."""
        self._settled.note(self._accounted)
        if self._record:
            self._record.journal.clear()

    def _forget(self) -> None:
        if self._record:
            self._record.journal.forget()


def _first_told(extract: Extract) -> date | None:
    """The first session of a bar or a reason, as `LakeView.begins` will say it."""
    days = [extract.tables[name]["session"].min() for name in ("equity_prices", "coverage")]
    first = min((day for day in days if day is not None), default=None)
    assert first is None or isinstance(first, date)
    return first


def _due() -> pl.Expr:
    return pl.col("close_at") + YahooSource.publication_lag


from_settings = YahooSource.from_settings
