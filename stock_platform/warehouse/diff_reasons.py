"""Why a row of a mart differs between two states: because what it is made of differs.

Three things are looked at. Spans: which instruments each side has, and until which session.
Versions: bars (of int_daily_prices or its like, or rows of a mart that carries its own versions)
that one side lacks or holds in another version. Actions: splits and payments as each side knew
them. A row has the first reason in `_cases` that holds; one without any is `code`: the SQL that
made it, or the universe it describes, was another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from typing import TYPE_CHECKING

from stock_platform.lake import as_of
from stock_platform.lake.schema import CORPORATE_ACTIONS
from stock_platform.warehouse.diff_rows import Compared, Pair, sql

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    from stock_platform.progress import Progress
    from stock_platform.warehouse.beside import State
    from stock_platform.warehouse.manifest import Mart

BARS = ("int_daily_prices", "fct_metal_prices")
"""What other marts are made of, a row per instrument and session with its version."""
STRENGTH = [
    "split", "dividend", "provisional to final", "revision", "late bar",
    "instrument added", "instrument left", "new session",
]  # fmt: skip
"""Of several things that happened to a session, the first is told."""
_ADJUSTED = ("_adjusted", "_total_return")
"""Endings of columns on the basis of the last session, which every later action changes. So does
one that tells a version of a bar from a rebasing, in a mart of versions (known_at in its key)."""
_TEXT, _MOMENT = "LowCardinality(String)", "DateTime64(6, 'UTC')"
_LAST_DAY = "toDate('2149-06-06')"
"""The day of a row without one: everything lies before it."""


@dataclass(frozen=True)
class Reasons:
    """Explains the differing rows of `pair`, with tables of its own in the database `scratch`."""

    client: Client
    scratch: str
    mart: Mart
    pair: Pair
    left: State
    right: State
    source: str

    def explain(self, changes: str, table: str, progress: Progress | None = None) -> None:
        """Create `table`: the rows of `changes` (see `Pair.write`) with a `reason`."""
        spans, events = f"{self.scratch}.spans", f"{self.scratch}.events"
        day = self._day()
        instrument = self._value("instrument_id")
        told = self._bars or self.mart.name
        if self._bars or instrument:
            dated = "session" if self._bars or self._value("session") else _LAST_DAY
            sides = (f"{state.database}.{told}" for state in (self.left, self.right))
            self.client.command(sql().create_spans(spans, *sides, dated))
        else:
            nobody = "(SELECT '' AS instrument_id WHERE false)"
            self.client.command(sql().create_spans(spans, nobody, nobody, _LAST_DAY))
        self.client.command(sql().create_events(events))
        if found := self._found(changes, spans, progress):
            self.client.command(sql().insert_events(events, found, spans, STRENGTH))
        row = {"instrument": instrument or "''", "day": day or _LAST_DAY}
        otherwise = "'code'" if self._bars or self._carries_versions else "'other'"
        cases = [(when, why) for when, why in self._cases(has_day=day is not None) if when]
        self.client.command(
            sql().create_explained(table, self.pair, changes, spans, events, row, cases, otherwise)
        )

    def _cases(self, *, has_day: bool) -> list[tuple[str, str]]:
        """Conditions and reasons in SQL; an empty condition never holds for this mart."""
        one_sided = "side != 'changed'"
        newer = "row_day > least(left_last, right_last)" if has_day else "left_last != right_last"
        at_its_day = "event.session = row_day AND event.cause"
        is_version = "known_at" in self.pair.key
        looks_ahead = is_version or any(
            column.name.endswith(_ADJUSTED) for column in self.pair.values
        )
        scores = "forecasts" in self.mart.upstream
        return [
            ("side = 'only_right' AND on_right AND NOT on_left", "'instrument added'"),
            ("side = 'only_left' AND on_left AND NOT on_right", "'instrument left'"),
            (f"{at_its_day} = 'provisional to final'", "event.cause"),
            (f"on_left AND on_right AND {newer}", "'new session'"),
            (one_sided if is_version else "", "'revision'"),
            (f"{at_its_day} != ''", "event.cause"),
            (one_sided if scores else "", "'new forecast'"),
            ("last_action > row_day" if looks_ahead else "", "later.action"),
            ("event.cause != ''", "event.cause"),
            ("elsewhere.cause != ''" if self.mart.across else "", "elsewhere.cause"),
        ]

    def _value(self, name: str) -> str | None:
        """SQL of a row's value, the later if it changed; None if the mart lacks the column."""
        if name in self.pair.key:
            return name
        if any(column.name == name for column in self.pair.values):
            left, right = f"left_{name}", f"right_{name}"
            absent = f"side = 'only_left', {left}, side = 'only_right', {right}"
            return f"multiIf({absent}, greatest({left}, {right}))"
        return None

    def _day(self) -> str | None:
        """SQL of the last day a row speaks of; None for a row about all days."""
        columns = {**self.pair.key, **{one.name: one.right for one in self.pair.values}}
        # The week of an accuracy is its origins'; what it speaks of comes later.
        scores = "forecasts" in self.mart.upstream
        for name, day in {
            "session": "{}",
            "target_session": "{}",
            "last_session": "{}",
            "week": "addDays({}, 6)",
            "month": "toLastDayOfMonth({})",
        }.items():
            if columns.get(name) == "Date" and not (scores and name == "week"):
                return day.format(self._value(name))
        return None

    @property
    def _carries_versions(self) -> bool:
        """Whether the mart's own rows say which version of what they are."""
        values = {column.name for column in self.pair.values}
        dated = {"instrument_id", "session"} <= {*self.pair.key}
        return dated and {"known_at", "finality"} <= values and not self._bars

    @cached_property
    def _bars(self) -> str | None:
        """The bars that the mart is made of, if both sides have them."""
        sides = {self.left.database, self.right.database}
        for bars in BARS:
            if bars in self.mart.upstream:
                found = self.client.query(
                    "SELECT count() FROM system.tables WHERE name = {bars:String}"
                    " AND database IN {sides:Array(String)}",
                    parameters={"bars": bars, "sides": sorted(sides)},
                )
                return bars if found.result_rows[0][0] == len(sides) else None
        return None

    def _found(self, changes: str, spans: str, progress: Progress | None) -> list[str]:
        """Statements that give (instrument_id, session, cause)."""
        found = []
        if self._bars:
            versions = Pair(
                left=f"{self.left.database}.{self._bars}",
                right=f"{self.right.database}.{self._bars}",
                key={"instrument_id": _TEXT, "session": "Date"},
                values=[
                    Compared("known_at", _MOMENT, _MOMENT),
                    Compared("finality", _TEXT, _TEXT),
                ],
            )
            changes = f"{self.scratch}.versions"
            versions.write(self.client, changes, progress)
        if self._bars or self._carries_versions:
            found.append(sql().version_events(changes, spans, self._provisional()))
        if "stg_corporate_actions" in self.mart.upstream:
            staged = sql().actions(f"{self.client.database}.stg_corporate_actions", self.source)
            key = CORPORATE_ACTIONS.key
            sides = (
                as_of.render(staged, key, _moment(state), state.clock)
                for state in (self.left, self.right)
            )
            found.append(sql().action_events(*sides, key))
        return found

    def _provisional(self) -> dict[str, str]:
        """Bars that the other side knew as provisional, by the side that has them."""
        if "stg_equity_prices" not in self.mart.upstream:
            return {}
        staged = f"{self.client.database}.stg_equity_prices"
        found = {}
        for side, other in (("only_left", self.right), ("only_right", self.left)):
            moment = _moment(other)
            known = f"{other.clock} <= {moment}" if moment else "true"
            found[side] = sql().provisional_bars(staged, self.source, known)
        return found


def _moment(state: State) -> str | None:
    """SQL of the moment a state is known as of; None for everything."""
    if state.moment is None:
        return None
    return f"toDateTime64('{state.moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
