"""Instruments: what they are, which calendar they trade on, from when to when.

What lives here is the one `Instrument` type and the reader of the YAML file a user edits. What does
not: prices, and which sessions an instrument is expected to have (`sources/base.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stock_platform import calendars
from stock_platform.errors import PlatformError
from stock_platform.marked_yaml import load_model

AssetClass = Literal["equity", "etf", "index", "metal", "fx"]


@dataclass(frozen=True)
class Instrument:
    """One instrument.

    Attributes:
        instrument_id: permanent, survives a change of ticker, such as `XNAS:AAPL`.
        calendar: code of `exchange_calendars`, such as `XNYS`.
        currency: ISO 4217 code of its prices.
        sector: "" if there is none.
        last_session: None while it trades.
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
        if self.first_session and self.last_session and self.last_session < self.first_session:
            raise ValueError(
                f"last_session {self.last_session} lies before first_session {self.first_session}"
            )
        return self


class _FullEntry(InstrumentEntry):
    """An entry of a universe file, where nothing can be left to a source's defaults."""

    instrument_id: Annotated[str, Field(min_length=1)]
    name: str
    calendar: str
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    first_session: date


class _UniverseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    instruments: Annotated[list[_FullEntry], Field(min_length=1)]

    @field_validator("instruments")
    @classmethod
    def _unique(cls, value: list[_FullEntry]) -> list[_FullEntry]:
        check_unique(value)
        return value


def check_unique(entries: list[_FullEntry] | list[InstrumentEntry]) -> None:
    """Refuse two entries with one symbol or one instrument_id.

    Raises:
        ValueError: naming the entries; pydantic turns it into an error with line and field.
    """
    for field in ("instrument_id", "symbol"):
        seen: dict[str, int] = {}
        for number, entry in enumerate(entries):
            value = getattr(entry, field)
            if value is not None and value in seen:
                raise ValueError(
                    f"{field} {value!r} stands in entries {seen[value]} and {number}: keep one"
                )
            seen[value] = number


def load(path: Path) -> list[Instrument]:
    """The instruments of a universe file, in its order.

    The file holds `instruments:`, a list of mappings with the fields of `Instrument`; `asset_class`
    (equity), `sector` ("") and `last_session` (still trading) may be left out.

    Raises:
        ConfigFileError: naming the line and the field.
    """
    return [Instrument(**dict(entry)) for entry in load_model(path, _UniverseFile).instruments]
