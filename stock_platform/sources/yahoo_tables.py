"""One answer of Yahoo as rows of the lake, with a reason for every bar that is owed and not there.

What lives here puts basis (`yahoo_basis.py`) and judgement (`yahoo_rows.py`) together. What does
not: asking, and in which order (`yahoo.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from stock_platform import calendars
from stock_platform.sources import fetching, reasons, yahoo_actions, yahoo_basis, yahoo_rows
from stock_platform.sources.base import Extract
from stock_platform.sources.yahoo_ask import Ask
from stock_platform.sources.yahoo_basis import Basis
from stock_platform.sources.yahoo_client import Answer
from stock_platform.sources.yahoo_delivery import Delivery
from stock_platform.sources.yahoo_rows import PRICES, Judged

FAILURES = {
    fetching.RATE_LIMITED: "Yahoo refuses further requests for now",
    fetching.UNAUTHORIZED: "Yahoo refused our cookie, a fresh one too",
    fetching.NOT_FOUND: "Yahoo does not know the symbol now, which does not mean it is delisted",
    fetching.BAD_REQUEST: "Yahoo did not take the request",
    fetching.SERVER_ERROR: "Yahoo's server failed",
    fetching.TIMEOUT: "Yahoo did not answer in time",
    fetching.CONNECTION: "the connection to Yahoo failed",
    fetching.MALFORMED: "Yahoo's answer can't be read",
    fetching.CONSENT_PAGE: "a web page came in place of Yahoo's data",
    fetching.EMPTY: "Yahoo has no bar at all for the days asked for",
}
"""Every kind of failure in words."""

_WHY = ("reason", "row_ref", "field", "value", "detail")
_REASONS = pl.Schema({"session": pl.Date, **dict.fromkeys(_WHY, pl.String)})
SHORT = 10
"""An answer is short when it leaves out so many sessions that are owed, from its beginning."""

_ANOTHER_UNIT = "another unit than {} beside it: off by a hundred (pence and pounds, for one)"


@dataclass(frozen=True)
class Read:
    """What became of one answer.

    Attributes:
        notes: what a person should know beyond the rows.
        settles: nothing of what was asked has to be asked again, but for what comes with time.
    """

    extract: Extract
    notes: list[str]
    settles: bool = True


def read(ask: Ask, answer: Answer | None, known_at: datetime, lag: timedelta) -> Read:
    """The rows of one answer.

    Args:
        ask: what was asked.
        answer: what came; None: nobody could be asked, or nothing was to be asked.
        known_at: of the load.
        lag: a bar is due this long after its session's close.
    """
    # The earlier of the two: a bar is judged by what it could be when the answer was made, and an
    # answer that came after the load began must not claim to have been known before its time.
    moment = min(known_at, answer.fetched_at) if answer else known_at
    context = _Context(ask, answer, known_at, moment, lag)
    if answer is None:
        return context.unasked()
    if answer.failure is not None:
        return context.failed(answer, answer.failure)
    return context.answered(answer)


class _Context(Delivery):
    def unasked(self) -> Read:
        gone = self.ask.days.filter("owed").select(
            "session",
            pl.lit("provider_missing").alias("reason"),
            pl.lit("").alias("row_ref"),
            pl.lit("symbol").alias("field"),
            pl.col("symbol").alias("value"),
            pl.lit(
                "the instrument's last symbol is another company's by now, so Yahoo can't be asked"
            ).alias("detail"),
        )
        return Read(self.extract(None, None, pl.concat([gone, self._notice()])), [])

    def failed(self, answer: Answer, kind: str) -> Read:
        why = reasons.outage(kind, f"{FAILURES[kind]}: {answer.detail}")
        owed = self.ask.days.filter("owed").select(
            "session", *[pl.lit(why[name]).alias(name) for name in _WHY]
        )
        end = self.ask.instrument.last_session
        for_good = kind in (fetching.NOT_FOUND, fetching.EMPTY)  # it won't get better by waiting
        if for_good:
            owed = pl.concat([owed, self._notice()])
        settles = for_good and end is not None and end < self.ask.last
        return Read(self.extract(None, None, owed), [], settles)

    def answered(self, answer: Answer) -> Read:
        judged = yahoo_rows.judge(self.ask, answer.bars, self.moment, self.lag)
        notes = self._notes(judged)
        listed, unusable = yahoo_actions.splits(answer.actions)
        iso, units = yahoo_basis.unit(answer.currency)
        if iso != self.ask.instrument.currency:
            found = self._other_currency(answer)
        elif stored := self._stored_otherwise():
            found = stored
        else:
            judged = self._without_other_units(judged, listed)
            closes = pl.concat([judged.bars.select("session", "close"), self._around(answer)])
            closes = closes.select("session", pl.col("close") / units).sort("session")
            held = self.ask.held.select("session", "close")
            found = unusable or yahoo_basis.find(
                closes, held, listed, self.ask.splits, self._today(), accepted=self.ask.anew
            )
        if found.problem:
            judged = self._all_refused(judged, found)
            notes.append(found.problem)
            return Read(self.extract(None, None, self._reasons(judged), judged), notes, False)
        if found.note:
            notes.append(found.note)
        later = yahoo_basis.factor(judged.bars, found.splits)
        bars = judged.bars.with_columns(
            *[pl.col(name) / units * later for name in PRICES], pl.col("volume") / later
        )
        actions = yahoo_actions.as_traded(self.ask, answer, found)
        judged = replace(judged, bars=bars, refused=pl.concat([judged.refused, actions.refused]))
        begins, before = self._short(answer)
        why = pl.concat([self._reasons(judged, before), begins, self._notice()])
        extract = self.extract(bars, actions.rows, why, judged)
        return Read(extract, notes + actions.notes, settles=begins.is_empty())

    def _short(self, answer: Answer) -> tuple[pl.DataFrame, date | None]:
        """Reasons for what an answer leaves out that begins long after Yahoo's history does.

        Returns:
            `_REASONS`, and the day before which they are told; none and None for a whole answer.
        """
        begins = answer.bars.filter(pl.col("close").is_not_null())["session"].min()
        none = pl.DataFrame(schema=_REASONS), None
        if answer.first_trade is None or not isinstance(begins, date):
            return none
        left_out = self.ask.days.filter(
            pl.col("owed"), pl.col("session").is_between(answer.first_trade, begins, closed="left")
        )
        if left_out.height < SHORT:
            return none
        why = reasons.outage(
            "short",
            f"Yahoo's answer begins on {begins}, although it says that it has bars since "
            f"{answer.first_trade}: asked for again",
        )
        columns = [pl.lit(why[name]).alias(name) for name in _WHY]
        return left_out.select("session", *columns), begins

    def _stored_otherwise(self) -> Basis | None:
        """The problem that what the lake holds is in another currency than the universe says."""
        wanted = self.ask.instrument.currency
        other = self.ask.held.filter(pl.col("currency") != wanted)
        if other.is_empty():
            return None
        day, _, stored = other.row(-1)
        return Basis(
            self.ask.splits.head(0),
            problem=f"the lake holds it in {stored} (up to {day}), the universe and Yahoo say "
            f"{wanted} now: mend the universe's currency; {yahoo_basis.ANEW}",
            field="currency",
            value=stored,
        )

    def _other_currency(self, answer: Answer) -> Basis:
        said, wanted = answer.currency, self.ask.instrument.currency
        return Basis(
            self.ask.splits.head(0),
            problem=f"Yahoo states it in {said or 'no currency at all'}, the universe says "
            f"{wanted}: mend the universe, or wait until Yahoo does",
            field="currency",
            value=said,
        )

    def _around(self, answer: Answer) -> pl.DataFrame:
        """Closes of stored sessions before the load's first and after its last: nothing is
        delivered of them, but they help to confirm the basis, or are all that does."""
        outside = ~pl.col("session").is_between(self.ask.first, self.ask.last)
        return (
            answer.bars.filter(outside, pl.col("close") > 0)
            .join(self.ask.held, on="session", how="semi", maintain_order="left")
            .unique("session", keep="last", maintain_order=True)
            .select("session", "close")
        )

    def _today(self) -> date:
        zone = calendars.time_zone(self.ask.instrument.calendar)
        return self.moment.astimezone(ZoneInfo(zone)).date()

    def _without_other_units(self, judged: Judged, listed: pl.DataFrame) -> Judged:
        odd = yahoo_basis.other_unit(judged.bars.select("session", "close"), self.ask.held, listed)
        if odd.is_empty():
            return judged
        refused = yahoo_rows.refusals(
            [
                (day, "", "close", f"{close:.10g}", _ANOTHER_UNIT.format(f"{usual:.10g}"))
                for day, close, usual in odd.iter_rows()
            ]
        )
        return replace(
            judged,
            bars=judged.bars.join(odd, on="session", how="anti").sort("session"),
            refused=pl.concat([judged.refused, refused]),
        )

    def _all_refused(self, judged: Judged, found: Basis) -> Judged:
        """Nothing is kept: what is stored stays, and every bar that is owed is refused."""
        owed = judged.bars.join(self.ask.days.filter("owed"), on="session", how="semi")
        refused = yahoo_rows.refusals(
            [(day, "", found.field, found.value, found.problem) for day in owed["session"]]
        )
        return replace(judged, refused=pl.concat([judged.refused, refused]))

    def _reasons(self, judged: Judged, since: date | None = None) -> pl.DataFrame:
        """Refused rows, and why bars that are owed (of the days from `since` on) are absent or not
        final."""
        refused = judged.refused.select(
            "session", pl.lit("rejected").alias("reason"), "row_ref", "field", "value", "detail"
        )
        early = self.due > self.moment
        text = (
            pl.when(early)
            .then(pl.lit("the session is not over, or its bar not yet due"))
            .when(pl.col("session").is_in(judged.hollow))
            .then(pl.lit("Yahoo has a row without values for this session"))
            .otherwise(pl.lit("Yahoo has no bar for this session"))
        )
        reason = pl.when(early).then(pl.lit("not_yet_final")).otherwise(pl.lit("provider_missing"))
        absent = (
            self.ask.days.filter(pl.col("owed"), pl.col("session") >= (since or date.min))
            .join(refused.filter(pl.col("row_ref") == ""), on="session", how="anti")
            .join(judged.bars.select("session", there=pl.lit(True)), on="session", how="left")
            .filter(pl.col("there").is_null() | early)
            .select(
                "session",
                reason.alias("reason"),
                *[pl.lit("").alias(name) for name in ("row_ref", "field", "value")],
                text.alias("detail"),
            )
        )
        return pl.concat([refused, absent])

    def _notice(self) -> pl.DataFrame:
        """The row that says the instrument is delisted; the universe alone knows."""
        if self.ask.notice is None:
            return pl.DataFrame(schema=_REASONS)
        last = str(self.ask.instrument.last_session)
        text = "the universe names this last session"
        row = (self.ask.notice, "delisted", "", "last_session", last, text)
        return pl.DataFrame([row], schema=_REASONS, orient="row")

    def _notes(self, judged: Judged) -> list[str]:
        notes = []
        one = self.ask.instrument
        if judged.foreign:
            notes.append(
                f"{judged.foreign} bars lie before its first session {one.first_session}"
                + (f" or after its last {one.last_session}" if one.last_session else "")
                + ": left out as another company's"
            )
        strays = judged.refused.filter(pl.col("field") == "session").height
        if strays:
            notes.append(
                f"{strays} bars are of days on which {one.calendar} is closed: quarantined"
            )
        return notes
