"""Which large revisions nobody has been told of yet.

What lives here reads `market.fct_price_revisions` and says what to remember of what was told. What
does not: who is told, and where the memory is kept (`defs/marts/checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

LATE = timedelta(days=30)
"""How long after its `known_at` a revision may reach the mart: what a killed load had written is
registered by the next load of those days, when later ones may have been told already."""


@dataclass(frozen=True)
class Told:
    """What was told of one source.

    Attributes:
        until: every revision known up to then.
        later: id -> known_at of those known later.
    """

    until: datetime
    later: Mapping[str, datetime]


def large(client: Client, limit: float) -> pl.DataFrame:
    """All revisions of more than `limit` (a relative change) and all rebasings.

    Returns:
        id, source, known_at and what a person reads; the largest change first.
    """
    found = client.query_arrow(
        "SELECT dataset, symbol, session, figure, kind, value_before, value_after, change,"
        " largest_change, source, known_at,"
        " hex(sipHash64(dataset, source, instrument_id, session, figure, known_at)) AS id"
        " FROM market.fct_price_revisions"
        " WHERE largest_change > {limit:Float64} OR kind = 'rebasing'"
        " ORDER BY largest_change DESC, symbol, session, figure, known_at",
        parameters={"limit": limit},
    )
    return pl.DataFrame(pl.from_arrow(found))


def untold(found: pl.DataFrame, told: Mapping[str, Told]) -> pl.DataFrame:
    """Those of `large` that are not among what was told, by source."""
    new = [
        source not in told or (known_at > told[source].until and one not in told[source].later)
        for source, known_at, one in found.select("source", "known_at", "id").iter_rows()
    ]
    return found.filter(pl.Series(new, dtype=pl.Boolean))


def after_telling(found: pl.DataFrame, told: Mapping[str, Told]) -> dict[str, Told]:
    """What was told, once all of `found` (from `large`) has been."""
    now = dict(told)
    for (name,), rows in found.group_by("source"):
        source = str(name)
        later = dict(rows.select("id", "known_at").iter_rows())
        until = max(later.values()) - LATE
        if source in told:
            # Kept although the mart may lack them for once: it may be built of less and again.
            later, until = {**told[source].later, **later}, max(until, told[source].until)
        now[source] = Told(until, {one: at for one, at in later.items() if at > until})
    return now


def to_json(told: Mapping[str, Told]) -> dict[str, Any]:
    """For the metadata of a check."""
    return {
        source: {
            "until": one.until.isoformat(),
            "later": {name: at.isoformat() for name, at in one.later.items()},
        }
        for source, one in told.items()
    }


def from_json(kept: Mapping[str, Any]) -> dict[str, Told]:
    """What `to_json` wrote."""
    moment = datetime.fromisoformat
    return {
        source: Told(moment(one["until"]), {name: moment(at) for name, at in one["later"].items()})
        for source, one in kept.items()
    }
