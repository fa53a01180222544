"""Checks of a universe that concern two things at once: two dates, two rows, two instruments.

What lives here raises what pydantic turns into an error with line and field. What does not: the
shape of an entry (`universe.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

from stock_platform.sources import names, symbols

if TYPE_CHECKING:
    from pydantic import ValidationError

    from stock_platform.universe import InstrumentEntry, ValidityEntry

    Symbols: TypeAlias = dict[str, list[ValidityEntry]]

BY_SYMBOL = "files"
"""The source (`sample` is one of its kind) that finds an instrument by its plain `symbol` where
`symbols` doesn't name it."""

OF_THEIR_OWN = ("sample", "simulated")
"""Sources that `symbols` can't name: the one is read as `files`, the other makes its own."""


class _Dated(Protocol):
    @property
    def first_session(self) -> date | None: ...
    @property
    def last_session(self) -> date | None: ...


@dataclass(frozen=True)
class Holding:
    """A symbol that an entry holds at a source.

    Attributes:
        number: of the entry in its list.
        place: the field of the entry that says so.
        first, last: the days, both included; `date.min`, `date.max` where open.
    """

    symbol: str
    number: int
    place: tuple[str | int, ...]
    first: date
    last: date


def check_order(dated: _Dated) -> None:
    """Refuse a last session before the first.

    Raises:
        ValueError: naming both.
    """
    first, last = dated.first_session, dated.last_session
    if first and last and last < first:
        raise ValueError(f"last_session {last} lies before first_session {first}")


def asked() -> tuple[str, ...]:
    """The sources that know an instrument only by `symbols`, in alphabetical order."""
    return tuple(name for name in names() if name not in (*OF_THEIR_OWN, BY_SYMBOL))


def check_sources(symbols: Symbols) -> Symbols:
    """Refuse a source that there is not, or that has no use for symbols.

    Raises:
        ValidationError: at the source's name, with the one that was perhaps meant.
    """
    known = sorted((*asked(), BY_SYMBOL))
    for source in symbols:
        if source not in known:
            near = get_close_matches(source, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(known)}"
            raise _fault((source,), f"no source has symbols under this name: {hint}")
    return symbols


def check_rows(symbols: Symbols) -> Symbols:
    """Refuse two validity rows of one source that overlap; gaps are allowed.

    Raises:
        ValidationError: at the later row.
    """
    for source, rows in symbols.items():
        numbered = sorted(enumerate(rows), key=lambda n: n[1].first_session or date.min)
        for (_, earlier), (number, later) in pairwise(numbered):
            if (earlier.last_session or date.max) >= (later.first_session or date.min):
                raise _fault(
                    (source, number),
                    f"overlaps the row of {earlier.symbol!r}: give that one a last_session before "
                    "this one's first_session",
                )
    return symbols


def holdings(entries: Sequence[InstrumentEntry], source: str) -> list[Holding]:
    """Every symbol of `source` that entries hold, ordered by symbol, in whatever case, and time.

    A validity row counts only within its entry's own first and last session.
    """
    found = []
    for number, entry in enumerate(entries):
        start, end = entry.first_session or date.min, entry.last_session or date.max
        given = entry.symbols.get(source, [])
        for place, row in enumerate(given):
            first = max(start, row.first_session or date.min)
            last = min(end, row.last_session or date.max)
            where = ("symbols", source, place)
            if first <= last:
                found.append(Holding(row.symbol, number, where, first, last))
        if not given and source in ("", BY_SYMBOL):
            found.append(Holding(entry.symbol, number, ("symbol",), start, end))
    return sorted(found, key=lambda h: (h.symbol.casefold(), h.first, h.last))


def check_providers(entry: InstrumentEntry) -> None:
    """Refuse an entry that a provider in its `symbols` can't be asked for.

    Raises:
        ValidationError: at the field.
    """
    fault = next(symbols.faults(entry), None)
    if fault is not None:
        raise _fault(*fault)


def check_unique(entries: Sequence[InstrumentEntry]) -> None:
    """Refuse two entries with one instrument_id, or with one symbol at the same time.

    Two that differ only in case are one: for providers that read either alike they are.
    A recycled ticker may be two instruments' one after the other: both as `symbol`, where their
    own sessions must not overlap, and among the `symbols` of a source.

    Raises:
        ValidationError: at the later entry, naming the other.
    """
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries):
        if entry.instrument_id is None:
            continue
        earlier = seen.setdefault(entry.instrument_id.casefold(), number)
        if earlier != number:
            raise _fault(
                (number, "instrument_id"),
                f"instrument_id {entry.instrument_id!r} stands in entries {earlier} and {number}"
                f"{_but_for_case(entry.instrument_id, entries[earlier].instrument_id)}: keep one",
            )
    for source in ("", BY_SYMBOL, *asked()):  # "": what pages show
        for before, after in pairwise(holdings(entries, source)):
            if _same(before, after) and before.last >= after.first:
                of = f" of source {source}" if source else ""
                one, other = sorted((before, after), key=lambda h: h.number)
                raise _fault(
                    (other.number, *other.place),
                    f"symbol {other.symbol!r}{of} stands in entries {one.number} and "
                    f"{other.number}{_but_for_case(other.symbol, one.symbol)} at the same time: "
                    "keep one, or give the earlier instrument a last_session before the "
                    "first_session of the later",
                )


def _same(one: Holding, other: Holding) -> bool:
    return one.symbol.casefold() == other.symbol.casefold()


def _but_for_case(one: str, other: str | None) -> str:
    return "" if one == other else f" (there as {other!r})"


def recycled(entries: Sequence[InstrumentEntry]) -> list[frozenset[str]]:
    """For each entry the sources at which its last symbol means a later instrument by now."""
    found: list[set[str]] = [set() for _ in entries]
    for source in asked():
        held = holdings(entries, source)
        last = {h.number: h for h in sorted(held, key=lambda h: h.first)}
        for earlier, later in pairwise(held):
            handed_on = _same(earlier, later) and earlier.number != later.number
            if handed_on and last[earlier.number] is earlier:
                found[earlier.number].add(source)
    return [frozenset(sources) for sources in found]


def _fault(place: tuple[str | int, ...], message: str) -> ValidationError:
    """An error at `place` within what is being validated."""
    from pydantic import ValidationError
    from pydantic_core import InitErrorDetails, PydanticCustomError

    error = InitErrorDetails(
        type=PydanticCustomError("value_error", message),
        loc=place,
        input={},  # what stands there is in the message
    )
    return ValidationError.from_exception_data("universe", [error])
