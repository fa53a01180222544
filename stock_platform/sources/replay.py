"""Past loads made again from the answers they were given, without a network.

What lives here turns a recorded load into its source and loads it, in order, into another lake.
What does not: comparing the two lakes (`lake/comparison.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform import universe
from stock_platform.errors import PlatformError
from stock_platform.sources import names
from stock_platform.sources.base import Source, SourceError
from stock_platform.sources.packed import Packed, packed_keys, read_packed
from stock_platform.sources.responses import Journal
from stock_platform.sources.yahoo_settled import Settled
from stock_platform.universe import Instrument

if TYPE_CHECKING:
    from stock_platform.lake.lake import Lake
    from stock_platform.progress import Progress
    from stock_platform.settings import Settings
    from stock_platform.sources.yahoo_client import Answer


@dataclass
class Replayed:
    """What was replayed of one source.

    Attributes:
        loads: their `known_at`, in order.
        requests: how many answers they were made from.
        interrupted: `known_at` of loads that packed their answers and did not end.
        refused: of these, those that fail now too, and how.
        versions: library -> versions that read the answers then.
    """

    source: str
    loads: list[datetime] = field(default_factory=list)
    requests: int = 0
    interrupted: set[datetime] = field(default_factory=set)
    refused: dict[datetime, str] = field(default_factory=dict)
    versions: dict[str, set[str]] = field(default_factory=dict)


def recorded(lake: Lake, wanted: str, until: datetime | None = None) -> dict[str, list[str]]:
    """Keys of the recorded loads by source, each in order of `known_at`.

    Args:
        lake: which holds them.
        wanted: a source's name, or `all`.
        until: loads of a later `known_at` are left out.

    Raises:
        PlatformError: there is no such source, or it has none.
    """
    known = names() if wanted == "all" else (wanted,)
    if wanted != "all" and wanted not in _REPLAYABLE:
        raise PlatformError(
            f"nothing is recorded of source {wanted!r}: replay {', '.join(_REPLAYABLE)} or all"
            " (other sources read files that are still there)"
        )
    found = {name: packed_keys(lake.store, name, until) for name in known}
    found = {name: keys for name, keys in found.items() if keys}
    if not found:
        when = f" up to {until.isoformat()}" if until else ""
        whose = " or ".join(_REPLAYABLE) if wanted == "all" else wanted
        raise PlatformError(
            f"the lake at {lake.root} has no recorded responses of {whose}{when}: loads of a live"
            " source keep them (`make run SOURCE=yahoo`); check STOCK_PLATFORM_HOME and"
            " STOCK_PLATFORM_LAKE_URL if there were some"
        )
    return found


def replay(
    source: str,
    keys: list[str],
    lake: Lake,
    into: Lake,
    *,
    settings: Settings,
    into_settings: Settings,
    progress: Progress | None = None,
) -> Replayed:
    """Load everything recorded of a source into an empty lake.

    Args:
        source: its name.
        keys: of its recorded loads, from `recorded`.
        lake: which holds them.
        into: the empty one; `into_settings` are those it was opened with.
        settings: of `lake`.
        into_settings: of `into`.
        progress: called as (step, done, total).

    Raises:
        PlatformError: a recorded load is damaged or can't be loaded; it is named.
    """
    from stock_platform.lake import ingest

    done = Replayed(source)
    settled = Settled()
    for key in keys:
        packed = read_packed(lake.store, key)
        done.interrupted.update(packed.interrupted)
        try:
            ingest.load(
                _REPLAYABLE[source](packed, settings, into, settled),
                into,
                packed.first,
                packed.last,
                settings=into_settings,
                known_at=packed.known_at,
            )
        except PlatformError as error:
            if packed.known_at not in _interrupted_by(lake, settings, source, key):
                raise SourceError(
                    f"{packed.location} can't be replayed: {error} (to replay what came before it,"
                    " name an earlier moment by --until)"
                ) from error
            done.refused[packed.known_at] = str(error)
        done.loads.append(packed.known_at)
        done.requests += len(packed.reach)
        for library, version in packed.versions.items():
            done.versions.setdefault(library, set()).add(version)
        if progress:
            progress("loads", len(done.loads), len(keys))
    done.interrupted.update(_interrupted_by(lake, settings, source, keys[-1]))
    return done


def _interrupted_by(lake: Lake, settings: Settings, source: str, key: str) -> list[datetime]:
    """Loads that had not ended when the one of `key` had packed its answers, itself included."""
    later = [other for other in packed_keys(lake.store, source) if other > key]
    if later:
        return list(read_packed(lake.store, later[0]).interrupted)
    return Journal(settings.home / "responses" / source).interrupted()


def _yahoo(packed: Packed, settings: Settings, into: Lake, settled: Settled) -> Source:
    from stock_platform.sources.yahoo import YahooSource
    from stock_platform.sources.yahoo_held import LakeView

    return YahooSource(
        _instruments(packed),
        lambda _: _YahooRecording(settings, packed),
        known=LakeView("yahoo", lambda: into),
        refetch=packed.refetch,
        settled=settled,
        reach=packed.reach,
    )


def _cbr(packed: Packed, _: Settings, into: Lake, __: Settled) -> Source:
    from stock_platform.sources.cbr import CbrSource, known_in
    from stock_platform.sources.cbr_client import ReplayClient

    return CbrSource(
        _instruments(packed),
        ReplayClient(packed.responses),
        refetch_sessions=packed.refetch,
        known=known_in(into),
        recorded=list(packed.reach),
    )


_REPLAYABLE: Mapping[str, Callable[[Packed, Settings, Lake, Settled], Source]] = {
    "cbr": _cbr,
    "yahoo": _yahoo,
}
"""How a recorded load is made a source again; every source that packs its answers is here."""


class _YahooRecording:
    """A client that reads a recorded answer when it is asked for: all at once may be gigabytes."""

    def __init__(self, settings: Settings, packed: Packed) -> None:
        self._settings = settings
        self._packed = packed

    def history(self, symbol: str, start: date) -> Answer:
        """See `yahoo.Client`."""
        from stock_platform.sources.yahoo_client import ReplayClient

        with ReplayClient(self._settings, self._packed.of(symbol)) as client:
            return client.history(symbol, start)

    def close(self) -> None:
        """See `yahoo.Client`."""


def _instruments(packed: Packed) -> list[Instrument]:
    """Those of the universe as it was.

    Raises:
        SourceError: the recorded text is no universe for this version of the platform.
    """
    try:
        return _of_text(packed.universe, packed.source)
    except PlatformError as error:
        raise SourceError(
            f"the universe recorded in {packed.location} can't be read: {error} (it was written by"
            f" stock-platform {packed.versions.get('stock-platform')}: replay with that version)"
        ) from error


@lru_cache(maxsize=8)
def _of_text(text: str, source: str) -> list[Instrument]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "universe.yaml")
        path.write_text(text)
        return universe.for_source(path, source)
