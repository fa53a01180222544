"""What the lake holds of a live source, read as the plan of a load needs it.

What lives here reads. What does not: deciding what follows from it (`yahoo_plan.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.lake import as_of, objects, schema
from stock_platform.sources import base

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake

DAYS_AT_ONCE = 400
"""A longer range is read in parts: only the columns asked for are ever held of all of it."""


class LakeView:
    """The current rows of one source.

    Args:
        source: its name.
        open_lake: called when something is first asked; None: nothing is known.
    """

    def __init__(self, source: str, open_lake: Callable[[], Lake] | None = None) -> None:
        self._source = source
        self._open = open_lake
        self._listed: dict[str, pl.DataFrame] = {}

    def refresh(self) -> None:
        """Take notice of what was written since: a listing is made once, as it reads it all."""
        self._listed.clear()

    @property
    def root(self) -> str:
        """Where the lake is, '' if there is none."""
        return self._lake.root if self._lake else ""

    def begins(self) -> date | None:
        """The first session of which the lake has a bar of the source, or a reason for none."""
        sessions = [self._objects(name)["session"] for name in ("equity_prices", "coverage")]
        first = pl.concat(sessions).min()
        assert first is None or isinstance(first, date)
        return first

    def rows(
        self,
        dataset: str,
        first: date,
        last: date,
        columns: Sequence[str],
        instruments: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """The current rows of some sessions, sorted by instrument_id and session.

        Args:
            dataset: its name.
            first: session.
            last: session, included.
            columns: those wanted; instrument_id and session come with them.
            instruments: their ids; None: all.
        """
        shape = schema.dataset(dataset)
        wanted = list(dict.fromkeys(["instrument_id", "session", *columns]))
        parts = [shape.empty().select(wanted)]
        listed = self._objects(dataset)
        for start, end in base.split_range(first, last, DAYS_AT_ONCE):
            keys = listed.filter(pl.col("session").is_between(start, end))["key"].to_list()
            if not keys or self._lake is None:
                continue
            versions = objects.read(shape, self._lake.store, keys)
            if instruments is not None:
                versions = versions.filter(pl.col("instrument_id").is_in(list(instruments)))
            parts.append(as_of.select(shape, versions, None).select(wanted))
        return pl.concat(parts).sort("instrument_id", "session")

    def _objects(self, dataset: str) -> pl.DataFrame:
        """Registered objects of the source: key, session."""
        if dataset not in self._listed:
            if self._lake is None:
                listed = pl.DataFrame(schema={"key": pl.String, "session": pl.Date})
            else:
                prefix = len(self._lake.store.location(""))
                listed = (
                    self._lake.objects(dataset)
                    .filter(pl.col("source") == self._source)
                    .select(pl.col("path").str.slice(prefix).alias("key"), "session")
                )
            self._listed[dataset] = listed
        return self._listed[dataset]

    @cached_property
    def _lake(self) -> Lake | None:
        return self._open() if self._open else None
