"""Which symbols to ask Yahoo for, since when, and for which sessions a bar or a reason is owed.

What lives here compares what is expected with what the lake holds. What does not: asking
(`yahoo_client.py`) and what becomes of an answer (`yahoo_rows.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from stock_platform import calendars
from stock_platform.lake import schema
from stock_platform.sources import base
from stock_platform.sources.yahoo_ask import NAME, Ask, taken_anew
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.sources.yahoo_settled import Settled
from stock_platform.universe import Instrument

LEAST_OVERLAP = 5
"""So many stored sessions, if there are, confirm the basis of an answer, whatever is refetched."""

ACTIONS_REACH = timedelta(days=100)
"""A load of the newest sessions asks so far back: splits and dividends are listed weeks late."""

TERMINAL = ("closed", "delisted")
"""Reasons that no further question changes."""

_BAR = {
    "session": pl.Date(),
    "close": pl.Float64(),
    "currency": pl.String(),
    "finality": pl.String(),
    "known_at": schema.UTC_MICROSECONDS,
}
_REASON = {"session": pl.Date(), **dict.fromkeys(("reason", "field", "value"), pl.String())}
_ACTION = {"session": pl.Date(), "action": pl.String(), "value": pl.Float64()}


class Plan:
    """What to ask so that every session from `first` to `last` has a final bar or a reason.

    Asked for are sessions without a final bar; if the load reaches the newest `refetch` sessions,
    these too, stored or not, and all that is missing since an instrument's last stored bar. Of an
    instrument that is not settled (it is new, the universe expects something else of it by now, or
    its last answer was none for all of it) that is all that is missing since the lake begins. A few
    stored sessions before come along as overlap.

    Args:
        instruments: those of the source, in order.
        between: the load's first and last session; nothing after the last is delivered.
        moment: a session that opens later is not expected.
        view: what the lake holds, read once for all instruments.
        refetch: how many of the newest sessions are asked for again.
        settled: whose history has been accounted for.

    Attributes:
        unsettled: ids of those that are settled once this load has brought what it asks for.
    """

    def __init__(
        self,
        instruments: list[Instrument],
        between: tuple[date, date],
        *,
        moment: datetime,
        view: LakeView,
        refetch: int,
        settled: Settled,
    ) -> None:
        self._instruments = instruments
        self._range = first, last = between
        self._moment, self._view = moment, view
        self._overlap = max(refetch, LEAST_OVERLAP)
        self._margin = timedelta(days=2 * self._overlap + 14)
        in_use = {i.calendar for i in instruments}
        newest = {name: self._newest(name, max(refetch, 1)) for name in in_use}
        self._reaches = {name: days[0] <= last for name, days in newest.items()}
        self._window = {
            name: [day for day in days if day <= last] if refetch else []
            for name, days in newest.items()
        }
        self._actions_from = {
            name: min(first, days[0] - ACTIONS_REACH) if self._reaches[name] else first
            for name, days in newest.items()
        }
        self._begins = view.begins()
        self.unsettled = [
            one.instrument_id
            for one in instruments
            if self._reaches[one.calendar]
            and not settled.has(one.instrument_id, self.expectation(one, self._begins))
        ]
        low = min([first, *self._actions_from.values()]) - self._margin
        self._high = high = min(last + self._margin, max(last, moment.date() + timedelta(days=1)))
        self._bars = _by_instrument(view.rows("equity_prices", low, high, list(_BAR)))
        self._reasons = _by_instrument(self._told(low, high))
        self._notices = {one.instrument_id: self._notice(one) for one in instruments}
        self._since = self._searched()
        actions = view.rows(
            "corporate_actions",
            min([low, *self._since.values()]),
            moment.date() + timedelta(days=1),
            ("action", "value"),
        )
        self._actions = _by_instrument(actions.filter(~schema.withdrawn()))

    def asks(self) -> Iterator[Ask]:
        """The questions, in order of the instruments."""
        for one in self._instruments:
            ask = self._ask(one)
            if ask is not None:
                yield ask

    def expectation(self, one: Instrument, begins: date | None) -> str:
        """What decides which sessions of an instrument have to be accounted for, as text."""
        anew = taken_anew(one, self._moment.date())
        told = (one.calendar, one.currency, one.first_session, one.last_session, begins, anew)
        return " ".join([self._view.root, one.asked_as(NAME) or "", *map(str, told)])

    def _ask(self, one: Instrument) -> Ask | None:
        """The instrument's part; None if nothing is to be asked or noted."""
        first, last = self._range
        window = [
            day
            for day in self._window[one.calendar]
            if one.first_session <= day <= (one.last_session or day)
        ]
        bars = _of(self._bars, one, _BAR)
        since = self._missing_since(one, bars)
        anew = taken_anew(one, self._moment.date())
        held = bars.filter(
            pl.col("finality") == schema.FINAL,
            pl.col("known_at") >= datetime.combine(anew or date.min, time(), UTC),
        ).select("session", "close", "currency")
        reasons = _of(self._reasons, one, _REASON)
        actions = _of(self._actions, one, _ACTION)
        notice = self._notices[one.instrument_id]
        settled = pl.concat(
            [held["session"], reasons.filter(pl.col("reason").is_in(TERMINAL))["session"]]
        )
        session = pl.col("session")
        earliest = max(
            min([first, since, self._actions_from[one.calendar], *window]) - self._margin,
            calendars.bounds(one.calendar)[0],
        )
        named = session.is_between(first, last) | session.is_in(window)
        days = (
            base.expected([one], earliest, last, NAME)
            .filter(pl.col("open_at") <= self._moment)
            .with_columns(
                named.alias("named"),
                ((named | (session >= since)) & ~session.is_in(settled.implode())).alias("owed"),
            )
        )
        asked = [*days.filter("owed")["session"].head(1), *window]
        if not asked:
            if notice is None:
                return None
            nothing = days.head(0), held.head(0), actions.head(0)
            return Ask(one, None, last, last, last, *nothing, reasons, notice, anew)
        start = min(asked)
        before = held.filter(session < start, session >= earliest)["session"].tail(self._overlap)
        start = min([start, *before])
        reach = min(start, max(self._actions_from[one.calendar], one.first_session))
        recent = session >= reach
        return Ask(
            instrument=one,
            symbol=one.asked_as(NAME),
            reach=reach,
            first=start,
            last=last,
            days=days.filter(recent).drop("instrument_id", "currency", "calendar"),
            held=held.filter(recent),
            actions=actions.filter(recent),
            reasons=reasons,
            notice=notice,
            anew=anew,
        )

    def _missing_since(self, one: Instrument, bars: pl.DataFrame) -> date:
        """The day after the last stored bar, if the load reaches the newest sessions."""
        if one.instrument_id in self._since:
            return self._since[one.instrument_id]
        newest = bars["session"].max() if self._reaches[one.calendar] else None
        newest = self._range[1] if newest is None else newest
        assert isinstance(newest, date)
        return newest + timedelta(days=1)

    def _newest(self, calendar: str, count: int) -> list[date]:
        """The newest `count` sessions that have opened."""
        until = self._moment.date() + timedelta(days=1)
        start, end = calendars.bounds(calendar)
        table = calendars.session_table(
            calendar, max(start, until - timedelta(days=3 * count + 21)), min(until, end)
        )
        return table.filter(pl.col("open_at") <= self._moment)["session"].tail(count).to_list()

    def _told(self, low: date, high: date, ids: list[str] | None = None) -> pl.DataFrame:
        rows = self._view.rows("coverage", low, high, ["row_ref", *_REASON], ids)
        return rows.filter(pl.col("row_ref") == "").drop("row_ref")

    def _notice(self, one: Instrument) -> date | None:
        """The first session without it, if that has opened by now and has not been noted yet."""
        first, last = self._range
        gone = one.last_session
        if gone is None or not (self._reaches[one.calendar] or first <= gone < last):
            return None
        after = calendars.session_table(
            one.calendar, gone + timedelta(days=1), gone + calendars.LEAST_AHEAD
        )
        if after.is_empty() or after["open_at"][0] > self._moment or after["session"][0] > last:
            return None
        day: date = after["session"][0]
        noted = self._told(day, day, [one.instrument_id])
        return None if "delisted" in noted["reason"] else day

    def _searched(self) -> dict[str, date]:
        """Since when all is owed of instruments that are not settled, or have no recent bar.

        It heals what a long outage, a killed load or a change of the universe left out. The whole
        history is searched, which is why only these instruments are looked up.
        """
        first, _ = self._range
        ones = [
            one
            for one in self._instruments
            if self._reaches[one.calendar]
            and one.first_session < first
            and (
                one.instrument_id in self.unsettled
                or (one.instrument_id not in self._bars and self._may_trade(one))
            )
        ]
        if not ones or self._begins is None:
            return {}
        ids = [one.instrument_id for one in ones]
        stored = self._view.rows("equity_prices", self._begins, self._high, list(_BAR), ids)
        self._bars |= _by_instrument(stored)
        self._reasons |= _by_instrument(self._told(self._begins, self._high, ids))
        return {one.instrument_id: max(one.first_session, min(self._begins, first)) for one in ones}

    def _may_trade(self, one: Instrument) -> bool:
        """Whether the lake does not know yet that it is delisted."""
        return one.last_session is None or self._notices[one.instrument_id] is not None


def _by_instrument(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    parts = rows.partition_by("instrument_id", as_dict=True, include_key=False)
    return {str(key[0]): part for key, part in parts.items()}


def _of(
    parts: dict[str, pl.DataFrame], one: Instrument, shape: dict[str, pl.DataType]
) -> pl.DataFrame:
    empty = pl.DataFrame(schema=pl.Schema(shape))
    return parts.get(one.instrument_id, empty).select(list(shape))
