"""Instruments: what they are, which calendar they trade on, from when to when, under which symbols.

What lives here is the one `Instrument` type and the reader of the YAML file a user edits; the file
that ships is `universe.yaml`. What does not: prices, the checks between two entries
(`universe_checks.py`), and which sessions an instrument is expected to have (`sources/base.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from stock_platform import calendars, universe_checks
from stock_platform.errors import PlatformError
from stock_platform.marked_yaml import load_model

AssetClass = Literal["equity", "etf", "index", "metal", "fx"]

PACKAGED = Path(__file__).parent / "universe.yaml"
"""The instruments of the live sources when no file is named."""


class UniverseError(PlatformError):
    """A universe has nothing that the source could be asked for."""


@dataclass(frozen=True)
class Validity:
    """A symbol of one source and the sessions in which it means the instrument.

    Attributes:
        first_session: None: since the instrument's first.
        last_session: None: until the instrument's last.
    """

    symbol: str
    first_session: date | None = None
    last_session: date | None = None


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    Attributes:
        instrument_id: permanent, survives a change of ticker, such as `XNAS:AAPL`.
        symbol: what pages show.
        calendar: code of `exchange_calendars`, such as `XNYS`, or `CBR`.
        currency: ISO 4217 code of its prices.
        sector: "" if there is none.
        last_session: None while it trades.
        symbols: by source, in order of time and without overlap; a source that is not there is
            not asked for the instrument, or finds it by `symbol` (`files`).
        recycled: sources at which its last symbol means another instrument by now.
    """

    instrument_id: str
    symbol: str
    name: str
    asset_class: AssetClass
    calendar: str
    currency: str
    sector: str
    first_session: date
    last_session: date | None = None
    symbols: Mapping[str, tuple[Validity, ...]] = field(default_factory=dict, hash=False)
    recycled: frozenset[str] = frozenset()

    def symbol_at(self, source: str, session: date) -> str:
        """The symbol of `source` valid at `session`.

        Between two validity rows it is the earlier one's, before all of them the first one's, and
        `symbol` where the source has none.
        """
        ((symbol, _, _),) = self.symbol_spans(source, session, session)
        return symbol

    def symbol_spans(self, source: str, first: date, last: date) -> list[tuple[str, date, date]]:
        """The days from `first` to `last` cut by the symbol of `source`, as (symbol, from, to).

        Together they are every day of the range; gaps are filled as `symbol_at` says.
        """
        rows = self.symbols.get(source) or (Validity(self.symbol),)
        starts = [date.min, *[row.first_session or date.min for row in rows[1:]]]
        ends = [*[start - timedelta(days=1) for start in starts[1:]], date.max]
        spans = [
            (row.symbol, max(first, start), min(last, end))
            for row, start, end in zip(rows, starts, ends, strict=True)
        ]
        return [span for span in spans if span[1] <= span[2]]

    def asked_as(self, source: str) -> str | None:
        """The symbol to ask `source` for now, which answers with the whole history.

        None if the source does not have the instrument, or if its last symbol there is another
        instrument's by now: asking would bring the other one's bars.
        """
        rows = self.symbols.get(source)
        return None if not rows or source in self.recycled else rows[-1].symbol


class ValidityEntry(BaseModel):
    """A row of `symbols`: a symbol and when it is valid."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    symbol: Annotated[str, Field(min_length=1)]
    first_session: date | None = None
    last_session: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        universe_checks.check_order(self)
        return self


def _rows(value: Any) -> Any:
    """A lone symbol as the list of its one validity row."""
    return value if isinstance(value, list) else [{"symbol": value}]


_Rows = Annotated[list[ValidityEntry], BeforeValidator(_rows), Field(min_length=1)]


_Symbols = Annotated[
    dict[str, _Rows],
    AfterValidator(universe_checks.check_sources),
    AfterValidator(universe_checks.check_rows),
]
"""Per source one symbol, or a list of validity rows."""


class InstrumentEntry(BaseModel):
    """One entry of an `instruments:` list; what is left out is filled by whoever reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    instrument_id: Annotated[str, Field(min_length=1)] | None = None
    symbol: Annotated[str, Field(min_length=1)]
    name: str | None = None
    asset_class: AssetClass = "equity"
    calendar: str | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    sector: str = ""
    first_session: date | None = None
    last_session: date | None = None
    symbols: _Symbols = {}

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                calendars.bounds(value)
            except PlatformError as error:
                raise ValueError(str(error)) from None
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        universe_checks.check_order(self)
        return self

    def rows(self, source: str) -> list[ValidityEntry]:
        """The validity rows of `source` in order of time; empty if the entry gives none."""
        return sorted(self.symbols.get(source, []), key=lambda row: row.first_session or date.min)


class _FullEntry(InstrumentEntry):
    """An entry of a universe file, where nothing can be left to a source's defaults."""

    instrument_id: Annotated[str, Field(min_length=1)]
    name: str
    calendar: str
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    first_session: date

    @model_validator(mode="after")
    def _as_providers_take_it(self) -> Self:
        universe_checks.check_providers(self)
        return self


class _UniverseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: Annotated[list[_FullEntry], Field(min_length=1)]

    @field_validator("instruments")
    @classmethod
    def _unique(cls, value: list[_FullEntry]) -> list[_FullEntry]:
        universe_checks.check_unique(value)
        return value


def load(path: Path) -> list[Instrument]:
    """The instruments of a universe file, in its order.

    The file holds `instruments:`, a list of mappings with the fields of `Instrument`; `asset_class`
    (equity), `sector` (""), `last_session` (still trading) and `symbols` may be left out.

    Raises:
        ConfigFileError: naming the line and the field.
    """
    return list(instruments(load_entries(path)))


def load_entries(path: Path) -> list[InstrumentEntry]:
    """The same as entries, for a source that fills in something of its own."""
    return list(load_model(path, _UniverseFile).instruments)


def for_source(path: Path | None, source: str) -> list[Instrument]:
    """The instruments that have symbols of `source`, ordered by instrument_id.

    Args:
        path: a universe file; None: the packaged one.
        source: such as `yahoo`.

    Raises:
        ConfigFileError: naming the line and the field.
        UniverseError: no instrument has a symbol of the source.
    """
    path = path or PACKAGED
    found = [i for i in load(path) if source in i.symbols]
    if not found:
        raise UniverseError(
            f"no instrument in {path} has a symbol of source {source}: add `symbols: "
            f"{{{source}: ...}}` to the entries it is to be asked for (example: {PACKAGED})"
        )
    return sorted(found, key=lambda i: i.instrument_id)


def instruments(entries: list[InstrumentEntry]) -> Iterator[Instrument]:
    """Complete entries, checked against each other, as instruments, in the same order."""
    recycled = universe_checks.recycled(entries)
    for number, entry in enumerate(entries):
        symbols = {
            source: tuple(Validity(**dict(row)) for row in entry.rows(source))
            for source in sorted(entry.symbols)
        }
        fields: dict[str, Any] = dict(entry) | {"symbols": symbols, "recycled": recycled[number]}
        yield Instrument(**fields)
