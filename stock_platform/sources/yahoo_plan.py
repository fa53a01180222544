"""Which symbols to ask Yahoo for, since when, and for which sessions a bar or a reason is owed.

What lives here compares what is expected with what the lake holds. What does not: asking
(`yahoo_client.py`) and what becomes of an answer (`yahoo_rows.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl

from stock_platform import calendars
from stock_platform.lake import schema
from stock_platform.sources import base
from stock_platform.sources.yahoo_held import LakeView
from stock_platform.universe import Instrument

NAME = "yahoo"
LEAST_OVERLAP = 5
"""So many stored sessions, if there are, confirm the basis of an answer, whatever is refetched."""

TERMINAL = ("closed", "delisted")
"""Reasons that no further question changes."""

_BAR = {"session": pl.Date(), "close": pl.Float64(), "finality": pl.String()}
_REASON = {"session": pl.Date(), **dict.fromkeys(("reason", "field", "value"), pl.String())}
_SPLIT = {"session": pl.Date(), "value": pl.Float64()}


@dataclass(frozen=True)
class Ask:
    """One instrument's part of a load.

    Attributes:
        symbol: what to ask for; None: there is nothing to ask, or nobody to ask.
        first: the first session asked for.
        days: its expected sessions from `first` on that have opened: session, symbol (valid then),
            open_at, close_at, owed (no final bar is stored, so one is owed or a reason), named (the
            load is about this session, so its reason is told even if the lake knows it).
        held: stored final bars since `first`, up to now: session, close (as traded).
        splits: stored splits since `first`: session, value.
        reasons: stored reasons: session, reason, field, value.
        notice: the session under which its delisting has to be noted; None: it has not.
    """

    instrument: Instrument
    symbol: str | None
    first: date
    last: date
    days: pl.DataFrame
    held: pl.DataFrame
    splits: pl.DataFrame
    reasons: pl.DataFrame
    notice: date | None = None


def plan(
    instruments: list[Instrument],
    first: date,
    last: date,
    *,
    moment: datetime,
    view: LakeView,
    refetch: int,
) -> Iterator[Ask]:
    """What to ask so that every session from `first` to `last` has a final bar or a reason.

    Asked for are sessions without a final bar; if the load reaches the newest `refetch` sessions,
    these too, stored or not, and all that is missing since an instrument's last stored bar (for one
    that is new, since the lake begins). A few stored sessions before come along as overlap.

    Args:
        instruments: those of the source, in order.
        first: the load's first session.
        last: its last one; nothing after it is delivered.
        moment: a session that opens later is not expected.
        view: what the lake holds.
        refetch: how many of the newest sessions are asked for again.
    """
    lake = _Region(instruments, (first, last), moment, view, refetch)
    for one in instruments:
        ask = lake.ask(one)
        if ask is not None:
            yield ask


def within(asks: Iterator[Ask], reach: Mapping[str, date]) -> Iterator[Ask]:
    """What of some asks is answered by answers that reach back so far, by symbol.

    The plan of a replayed load is another one than it was when the lake held other rows then: those
    of a load that was killed, or that was not recorded.
    """
    for ask in asks:
        if ask.symbol is None:
            yield ask
        elif ask.symbol in reach:
            first = max(ask.first, reach[ask.symbol])
            recent = pl.col("session") >= first
            yield replace(
                ask,
                first=first,
                days=ask.days.filter(recent),
                held=ask.held.filter(recent),
                splits=ask.splits.filter(recent),
            )


class _Region:
    """What the lake holds around the sessions of a load, read once for all instruments."""

    def __init__(
        self,
        instruments: list[Instrument],
        between: tuple[date, date],
        moment: datetime,
        view: LakeView,
        refetch: int,
    ) -> None:
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
        low = min([first, *(days[0] for days in self._window.values() if days)]) - self._margin
        high = min(last + self._margin, max(last, moment.date() + timedelta(days=1)))
        self._bars = _by_instrument(view.rows("equity_prices", low, high, list(_BAR)))
        self._reasons = _by_instrument(self._told(low, high))
        self._notices = {one.instrument_id: self._notice(one) for one in instruments}
        self._since = self._unheld(instruments)
        actions = view.rows(
            "corporate_actions",
            min([low, *self._since.values()]) - self._margin,
            moment.date() + timedelta(days=1),
            ("action", "value"),
        )
        self._splits = _by_instrument(actions.filter(pl.col("action") == "split").drop("action"))

    def ask(self, one: Instrument) -> Ask | None:
        """The instrument's part; None if nothing is to be asked or noted."""
        first, last = self._range
        window = [
            day
            for day in self._window[one.calendar]
            if one.first_session <= day <= (one.last_session or day)
        ]
        bars = _of(self._bars, one, _BAR)
        since = self._missing_since(one, bars)
        held = bars.filter(pl.col("finality") == schema.FINAL).select("session", "close")
        reasons = _of(self._reasons, one, _REASON)
        splits = _of(self._splits, one, _SPLIT)
        notice = self._notices[one.instrument_id]
        settled = pl.concat(
            [held["session"], reasons.filter(pl.col("reason").is_in(TERMINAL))["session"]]
        )
        session = pl.col("session")
        earliest = max(
            min([first, since, *window]) - self._margin, calendars.bounds(one.calendar)[0]
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
            return Ask(
                one, None, last, last, days.head(0), held.head(0), splits.head(0), reasons, notice
            )
        start = min(asked)
        before = held.filter(session < start, session >= earliest)["session"].tail(self._overlap)
        start = min([start, *before])
        recent = session >= start
        return Ask(
            instrument=one,
            symbol=one.asked_as(NAME),
            first=start,
            last=last,
            days=days.filter(recent).drop("instrument_id", "currency", "calendar"),
            held=held.filter(recent),
            splits=splits.filter(recent),
            reasons=reasons,
            notice=notice,
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

    def _unheld(self, instruments: list[Instrument]) -> dict[str, date]:
        """Since when all is owed of instruments of which the lake holds no recent bar.

        It heals what a long outage, or a later addition to the universe, left out. The whole
        history is searched, which is why only these instruments are looked up.
        """
        first, last = self._range
        ids = [
            one.instrument_id
            for one in instruments
            if self._reaches[one.calendar]
            and one.first_session < first
            and one.instrument_id not in self._bars
            and (one.last_session is None or self._notices[one.instrument_id] is not None)
        ]
        begins = self._view.begins() if ids else None
        if begins is None:
            return {}
        # The last stored bar, not the last final one: it makes no difference to what is owed.
        stored = self._view.rows("equity_prices", begins, last, list(_BAR), ids)
        self._bars |= _by_instrument(stored)
        self._reasons |= _by_instrument(self._told(begins, last, ids))
        newest: dict[str, date] = dict(
            stored.group_by("instrument_id").agg(pl.col("session").max()).iter_rows()
        )
        return {
            one.instrument_id: newest.get(
                one.instrument_id, max(one.first_session, min(begins, first)) - timedelta(days=1)
            )
            + timedelta(days=1)
            for one in instruments
            if one.instrument_id in ids
        }


def _by_instrument(rows: pl.DataFrame) -> dict[str, pl.DataFrame]:
    parts = rows.partition_by("instrument_id", as_dict=True, include_key=False)
    return {str(key[0]): part for key, part in parts.items()}


def _of(
    parts: dict[str, pl.DataFrame], one: Instrument, shape: dict[str, pl.DataType]
) -> pl.DataFrame:
    empty = pl.DataFrame(schema=pl.Schema(shape))
    return parts.get(one.instrument_id, empty).select(list(shape))
