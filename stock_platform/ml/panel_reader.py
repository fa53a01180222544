"""Panels as of decision times, read as few times as the data allow.

Weeks between which nothing was restated share one read: the later panel, cut to what was available
at the earlier moment, is then the panel of that moment. When a row in it came or changed later than
the moment asked for, the panel is read again as of that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from stock_platform.ml.features import Clock, Panel, read_panel
from stock_platform.ml.weeks import Weeks, read_weeks

JUST_BEFORE = timedelta(microseconds=1)


@dataclass(frozen=True)
class Read:
    """One read of the warehouse: its moment, the panel, and when each row's session closed."""

    moment: datetime
    panel: Panel
    closed_at: pl.Series

    def holds(self, moment: datetime) -> bool:
        """Whether this panel, cut to `moment`, is the panel as of `moment`.

        It is unless a session that had closed by then has a row that came, or came again, later.
        """
        late = (self.closed_at <= moment) & (self.panel.frame["available_at"] > moment)
        return self.moment >= moment and not bool(late.any())


@dataclass(frozen=True)
class View:
    """The panel as of a moment, and the read it was cut from (equal reads give equal history)."""

    panel: Panel
    read: Read


@dataclass
class PanelReader:
    """Gives the decision time of a week and the panel as of a moment."""

    read: Callable[[datetime], Panel]
    """The panel as of a moment (UTC) by `clock`."""
    weeks: Weeks
    clock: Clock = "available_at"
    fixed: datetime | None = None
    """When live, the decision time: now. In a backtest (None) it is the moment the last origin bar
    of a week became available, before the next session opened."""
    _reads: list[Read] = field(default_factory=list)

    @classmethod
    def from_warehouse(
        cls,
        client: Any,
        clock: Clock = "available_at",
        fixed: datetime | None = None,
    ) -> PanelReader:
        """A reader of `int_features_as_of` and `reference_sessions`."""
        weeks = read_weeks(client)
        return cls(lambda at: read_panel(client, weeks, at, clock), weeks, clock, fixed)

    def deadline(self, monday: date) -> datetime | None:
        """Opening of the first session after the week in any calendar; None if no session in it."""
        origins = [(c, self.weeks.origin(c, monday)) for c in self.weeks.calendars]
        return min((self.weeks.deadline(c, day) for c, day in origins if day), default=None)

    def is_pending(self, monday: date, now: datetime) -> bool:
        """Whether the week is over in every calendar while none has opened again since."""
        deadline = self.deadline(monday)
        closes = [self.weeks.close(c, monday) for c in self.weeks.calendars]
        last = max((close for close in closes if close), default=None)
        return deadline is not None and last is not None and last <= now < deadline

    def prepare(self, monday: date) -> None:
        """Read once as of the end of the last week that will be asked for."""
        deadline = self.deadline(monday)
        if deadline and self.fixed is None:
            self.at(deadline - JUST_BEFORE)

    def decision_time(self, monday: date) -> datetime | None:
        """When the week's forecast is made, or None when no instrument has its origin bar."""
        deadline = self.deadline(monday)
        if deadline is None:
            return None
        if self.fixed is not None:
            return self.fixed
        frame = self.at(deadline - JUST_BEFORE).panel.frame
        origins = frame.filter(pl.col("is_origin") & (pl.col("week") == monday))
        moment: datetime | None = origins["available_at"].max()  # type: ignore[assignment]
        return moment

    def at(self, moment: datetime) -> View:
        """The panel as of `moment` (UTC)."""
        for read in self._reads:
            if read.holds(moment):
                return View(read.panel.where(pl.col("available_at") <= moment), read)
        read = self._fresh(moment)
        return View(read.panel, read)

    def _fresh(self, moment: datetime) -> Read:
        panel = self.read(moment)
        sessions = self.weeks.sessions.select("calendar", "session", "close_at")
        closed = panel.frame.select("calendar", "session").join(
            sessions, on=["calendar", "session"], how="left", maintain_order="left"
        )
        read = Read(moment, panel, closed["close_at"])
        self._reads.append(read)
        return read
