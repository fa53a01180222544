"""Two lakes compared row by row: the present one and one made anew from recorded responses.

What lives here says which versions both hold and which only one. What does not: how the other lake
came about (`sources/replay.py`).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_platform.lake.coverage import PRICED
from stock_platform.lake.difference import TOLERANCE
from stock_platform.lake.schema import (
    CORPORATE_ACTIONS,
    COVERAGE,
    DATASETS,
    UTC_MICROSECONDS,
    Dataset,
)

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake

WORDING = ("detail",)
"""Sentences for people: a later release may word them otherwise."""

_SESSION = ("instrument_id", "session")


@dataclass
class Compared:
    """How the rows of one dataset compare, all versions counted.

    Attributes:
        equal: the same in every column but those of `WORDING`.
        only_in_lake, only_in_replay: what is left over.
        known_earlier: the same values in both, but the replay knows them earlier: a load was
            interrupted, and what it had been told was written by a later one.
        interrupted: told to a load that was interrupted, and never written: a later load was told
            otherwise, or none has run since.
        lost: told to a load that was interrupted and never written, although later loads ended and
            none of them was told anything of the session (or action).
        unrecorded: how many of `only_in_lake` are of loads without recorded responses.
        examples: the first row of `only_in_lake`, `only_in_replay`, `lost` and `known_earlier`, by
            these names; of the last the lake's.
    """

    equal: int = 0
    only_in_lake: int = 0
    only_in_replay: int = 0
    known_earlier: int = 0
    interrupted: int = 0
    lost: int = 0
    unrecorded: int = 0
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """No row is left over on either side, and none was lost."""
        return not (self.only_in_lake or self.only_in_replay or self.lost)


def compare(
    lake: Lake,
    replayed: Lake,
    source: str,
    *,
    recorded: AbstractSet[datetime],
    interrupted: AbstractSet[datetime],
    until: datetime,
) -> dict[str, Compared]:
    """Compare all that two lakes hold of one source.

    Args:
        lake: the present one.
        replayed: the other.
        source: its name.
        recorded: `known_at` of the loads that were replayed.
        interrupted: those of them that packed their answers and did not end.
        until: rows that became known later are left out.

    Returns:
        By dataset, those of which at least one lake holds rows.
    """
    found = {}
    ended = max(recorded - interrupted, default=None)
    for shape in DATASETS.values():
        days = pl.concat([_sessions(one, shape, source) for one in (lake, replayed)])
        if days.is_empty():
            continue
        result = found[shape.name] = Compared()
        first, last = days.min(), days.max()
        assert isinstance(first, date)
        assert isinstance(last, date)
        for year in range(first.year, last.year + 1):  # both lakes whole may not fit into memory
            days_of_year = date(year, 1, 1), date(year, 12, 31)
            ours, theirs = (
                _rows(one, shape, source, days_of_year, until) for one in (lake, replayed)
            )
            never = _add(result, shape, ours, theirs, recorded=recorded, interrupted=interrupted)
            if never.height:
                told = _told(lake, shape, source, days_of_year, until)
                lost = _lost(shape, never, told, ended)
                _count(result, "lost", lost)
                result.interrupted += never.height - lost.height
    return found


def _sessions(lake: Lake, shape: Dataset, source: str) -> pl.Series:
    return lake.objects(shape.name).filter(pl.col("source") == source)["session"]


def _rows(
    lake: Lake, shape: Dataset, source: str, days: tuple[date, date], until: datetime
) -> pl.DataFrame:
    rows = lake.read(shape.name, *days, source=source)
    return rows.filter(pl.col("known_at") <= until).drop(WORDING, strict=False)


def _told(
    lake: Lake, shape: Dataset, source: str, days: tuple[date, date], until: datetime
) -> pl.DataFrame:
    """What the lake was told of sessions: session and known_at, with what else tells them apart.

    A bar and a reason answer for each other; an action only for itself, a quarantined row too.
    """
    shapes = [shape] if shape == CORPORATE_ACTIONS else [*PRICED, COVERAGE]
    return pl.concat(
        [
            _rows(lake, one, source, days, until).select(
                *_SESSION, _part(one).alias("part"), "known_at"
            )
            for one in shapes
        ]
    )


def _part(shape: Dataset) -> pl.Expr:
    """What tells the rows of a session apart."""
    names = {CORPORATE_ACTIONS.name: "action", COVERAGE.name: "row_ref"}
    return pl.col(names[shape.name]) if shape.name in names else pl.lit("")


def _lost(
    shape: Dataset, never: pl.DataFrame, told: pl.DataFrame, ended: datetime | None
) -> pl.DataFrame:
    """Rows that an interrupted load was told, and the lake nothing in their place since.

    A quarantined row is none of them: a later answer may do without it.
    """
    rows = never.with_columns(_part(shape).alias("part"))
    if shape == COVERAGE:
        rows = rows.filter(pl.col("part") == "")
    if ended is None:
        return rows.head(0).drop("part")
    last = told.group_by(*_SESSION, "part").agg(pl.col("known_at").max().alias("last"))
    return (
        rows.filter(pl.col("known_at") < ended)
        .join(last, on=[*_SESSION, "part"], how="left")
        .filter(pl.col("last").is_null() | (pl.col("last") < pl.col("known_at")))
        .drop("part", "last")
    )


def _add(
    result: Compared,
    shape: Dataset,
    ours: pl.DataFrame,
    theirs: pl.DataFrame,
    *,
    recorded: AbstractSet[datetime],
    interrupted: AbstractSet[datetime],
) -> pl.DataFrame:
    """Count the rows of some sessions.

    Returns:
        Those that an interrupted load was told and nobody wrote.
    """
    left = ours.join(theirs, on=ours.columns, how="anti", maintain_order="left")
    right = theirs.join(ours, on=ours.columns, how="anti", maintain_order="left")
    result.equal += ours.height - left.height
    key = [*shape.key, "known_at"]
    half = right.filter(pl.col("known_at").is_in(_moments(interrupted)))
    half = half.join(ours, on=key, how="anti", maintain_order="left")
    if half.height:
        earlier, told = _known_earlier(shape, left, right, half)
        _count(result, "known_earlier", earlier)
        left = left.join(earlier, on=key, how="anti", maintain_order="left")
        right = right.join(told, on=key, how="anti", maintain_order="left")
        never = right.join(half, on=key, how="semi", maintain_order="left")
        right = right.join(never, on=key, how="anti", maintain_order="left")
    else:
        never = right.head(0)
    _count(result, "only_in_lake", left)
    _count(result, "only_in_replay", right)
    result.unrecorded += left.filter(~pl.col("known_at").is_in(_moments(recorded))).height
    return never


def _known_earlier(
    shape: Dataset, left: pl.DataFrame, right: pl.DataFrame, half: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of both sides that say the same of a key, known to the replay no later.

    Args:
        shape: their dataset.
        left: rows that only the lake holds.
        right: rows that only the replay holds.
        half: those of `right` that an interrupted load had been told and did not write. Only for
            their keys, and from their moment on, may the moments differ. At the same moment only
            what follows from an earlier one may: whether it was available before.
    """
    key = list(shape.key)
    since = half.group_by(key).agg(pl.col("known_at").min().alias("since"))
    facts = [*shape.measured, *shape.stated, "finality"]
    other = right.select(*key, pl.col("known_at", "payload_digest", *facts).name.suffix("_other"))
    close = [
        (pl.col(name) - pl.col(f"{name}_other")).abs() <= TOLERANCE * pl.col(name).abs()
        for name in shape.measured
    ]
    stated = [pl.col(name) == pl.col(f"{name}_other") for name in (*shape.stated, "finality")]
    pairs = (
        left.join(since, on=key)
        .join(other, on=key)
        .filter(
            pl.col("known_at_other").is_between("since", "known_at"),
            pl.all_horizontal(*close, *stated),
            (pl.col("known_at_other") < pl.col("known_at"))
            | (pl.col("payload_digest_other") == pl.col("payload_digest")),
        )
        .sort(*key, "known_at", "known_at_other")
        .unique([*key, "known_at"], keep="first", maintain_order=True)
        .unique([*key, "known_at_other"], keep="first", maintain_order=True)
    )
    told = pairs.select(*key, pl.col("known_at_other").alias("known_at"))
    return pairs.select(left.columns), told


def _count(result: Compared, name: str, rows: pl.DataFrame) -> None:
    setattr(result, name, getattr(result, name) + rows.height)
    if rows.height:
        result.examples.setdefault(name, rows.row(0, named=True))


def _moments(some: AbstractSet[datetime]) -> list[datetime]:
    return pl.Series(sorted(some), dtype=UTC_MICROSECONDS).to_list()
