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
from stock_platform.lake import schema
from stock_platform.sources import base, fetching, reasons, yahoo_actions, yahoo_basis, yahoo_rows
from stock_platform.sources.base import Extract
from stock_platform.sources.yahoo_basis import Basis
from stock_platform.sources.yahoo_client import Answer
from stock_platform.sources.yahoo_plan import NAME, Ask
from stock_platform.sources.yahoo_rows import NUMBERS, PRICES, Judged

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
_ANOTHER_UNIT = "another unit than {} beside it: off by a hundred (pence and pounds, for one)"


@dataclass(frozen=True)
class Read:
    """What became of one answer.

    Attributes:
        notes: what a person should know beyond the rows.
    """

    extract: Extract
    notes: list[str]


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


@dataclass(frozen=True)
class _Context:
    ask: Ask
    answer: Answer | None
    known_at: datetime
    moment: datetime
    lag: timedelta

    @property
    def due(self) -> pl.Expr:
        return pl.col("close_at") + self.lag

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
        return Read(self._extract(None, None, pl.concat([gone, self._notice()])), [])

    def failed(self, answer: Answer, kind: str) -> Read:
        why = reasons.outage(kind, f"{FAILURES[kind]}: {answer.detail}")
        owed = self.ask.days.filter("owed").select(
            "session", *[pl.lit(why[name]).alias(name) for name in _WHY]
        )
        if kind in (fetching.NOT_FOUND, fetching.EMPTY):  # it won't get better by waiting
            owed = pl.concat([owed, self._notice()])
        return Read(self._extract(None, None, owed), [])

    def answered(self, answer: Answer) -> Read:
        judged = yahoo_rows.judge(self.ask, answer.bars, self.moment, self.lag)
        notes = self._notes(judged)
        listed, unusable = yahoo_actions.splits(answer.actions)
        iso, units = yahoo_basis.unit(answer.currency)
        if iso != self.ask.instrument.currency:
            found = self._other_currency(answer)
        else:
            judged = self._without_other_units(judged, listed)
            closes = pl.concat([judged.bars.select("session", "close"), self._after(answer)])
            closes = closes.select("session", pl.col("close") / units)
            found = unusable or yahoo_basis.find(
                closes, self.ask.held, listed, self.ask.splits, self._today()
            )
        if found.problem:
            judged = self._all_refused(judged, found)
            notes.append(found.problem)
            return Read(self._extract(None, None, self._reasons(judged), judged), notes)
        if found.note:
            notes.append(found.note)
        later = yahoo_basis.factor(judged.bars, found.splits)
        bars = judged.bars.with_columns(
            *[pl.col(name) / units * later for name in PRICES], pl.col("volume") / later
        )
        actions, bad = yahoo_actions.as_traded(self.ask, answer, found)
        judged = replace(judged, bars=bars, refused=pl.concat([judged.refused, bad]))
        why = pl.concat([self._reasons(judged), self._notice()])
        return Read(self._extract(bars, actions, why, judged), notes)

    def _other_currency(self, answer: Answer) -> Basis:
        said, wanted = answer.currency, self.ask.instrument.currency
        return Basis(
            self.ask.splits.head(0),
            problem=f"Yahoo states it in {said or 'no currency at all'}, the universe says "
            f"{wanted}: mend the universe, or wait until Yahoo does",
            field="currency",
            value=said,
        )

    def _after(self, answer: Answer) -> pl.DataFrame:
        """Closes of stored sessions after the load's last: nothing is delivered of them, but they
        may be all there is to confirm the basis on."""
        return (
            answer.bars.filter(pl.col("session") > self.ask.last, pl.col("close") > 0)
            .join(self.ask.held, on="session", how="semi", maintain_order="left")
            .unique("session", keep="last", maintain_order=True)
            .select("session", "close")
            .sort("session")
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

    def _reasons(self, judged: Judged) -> pl.DataFrame:
        """Refused rows, and why bars that are owed are absent or not final."""
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
            self.ask.days.filter("owed")
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

    def _extract(
        self,
        bars: pl.DataFrame | None,
        actions: pl.DataFrame | None,
        reasons: pl.DataFrame,
        judged: Judged | None = None,
    ) -> Extract:
        tables = {"coverage": self._coverage(reasons)}
        if bars is not None:
            tables["equity_prices"] = self._conform(
                "equity_prices",
                bars.select("session", "symbol", "close_at", *NUMBERS).with_columns(
                    base.finality(self.due, self.moment),
                    *base.availability(self.due, self.known_at),
                ),
            )
        if actions is not None:
            tables["corporate_actions"] = self._conform(
                "corporate_actions",
                actions.join(self.ask.days, on="session").with_columns(
                    *base.availability(pl.col("open_at"), self.known_at),
                    finality=pl.lit(schema.FINAL),
                ),
            )
        for name in base.DATASETS:
            if name not in tables:
                tables[name] = schema.dataset(name).empty()
        return Extract(tables, duplicates=judged.duplicates if judged else 0)

    def _coverage(self, reasons: pl.DataFrame) -> pl.DataFrame:
        """Reasons as rows; what the lake knows is told again only of the load's own sessions."""
        if reasons.is_empty():
            return schema.COVERAGE.empty()
        told = ["session", "reason", "field", "value"]
        named = self.ask.days.filter("named")["session"].to_list()
        known = self.ask.reasons.select(*told, known=pl.lit(True))
        news = (
            reasons.join(known, on=told, how="left")
            .filter(
                pl.col("known").is_null()
                | (pl.col("row_ref") != "")
                | pl.col("session").is_in(named)
            )
            .drop("known")
        )
        one = self.ask.instrument
        expected = news.join(self.ask.days, on="session", how="left")
        # A quarantined row and a notice of delisting are of no expected session: our own
        # observation, made now.
        now = pl.lit(self.known_at)
        other = pl.col("close_at").is_null() | (pl.col("row_ref") != "")
        last_symbol = one.symbols[NAME][-1].symbol
        available, availability = base.availability(self.due, self.known_at)
        return self._conform(
            "coverage",
            expected.with_columns(
                pl.col("symbol").fill_null(last_symbol),
                pl.when(other)
                .then(pl.lit(schema.FINAL))
                .otherwise(base.finality(self.due, self.moment))
                .alias("finality"),
                pl.when(other).then(now).otherwise(available).alias("available_at"),
                pl.when(other)
                .then(pl.lit(schema.OBSERVED))
                .otherwise(availability)
                .alias("availability"),
            ),
        )

    def _conform(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        one = self.ask.instrument
        return base.conform(
            dataset,
            frame.with_columns(
                pl.lit(one.instrument_id).alias("instrument_id"),
                pl.lit(one.currency).alias("currency"),
                pl.lit(NAME).alias("source"),
                pl.lit(self.known_at).alias("known_at"),
                pl.lit(self.answer.payload_digest if self.answer else "").alias("payload_digest"),
            ),
        )
