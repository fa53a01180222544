"""`files.yaml`: how the columns of a user's files map to bars and corporate actions.

What lives here is the file's shape and its checks; docs/files-source.md explains it to the user.
What does not: reading the data (`files_reading.py`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stock_platform import calendars
from stock_platform.errors import PlatformError
from stock_platform.universe import InstrumentEntry
from stock_platform.universe_checks import check_unique

CONFIG_NAME = "files.yaml"

Name = Annotated[str, Field(min_length=1)]
Basis = Literal["traded", "split_adjusted", "total_return"]
Reinvestment = Literal["previous_close", "ex_close"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class BarColumns(_Strict):
    """The column of a file that holds each part of a bar."""

    symbol: Name | None = None
    date: Name
    open: Name
    high: Name
    low: Name
    close: Name
    volume: Name
    adj_close: Name | None = None

    @property
    def named(self) -> dict[str, str]:
        """Field -> column, of those that the files have."""
        return {field: column for field, column in self.model_dump().items() if column is not None}


class ActionColumns(_Strict):
    """The column of the actions file that holds each part of a split or dividend."""

    symbol: Name
    date: Name
    action: Name
    value: Name


class Actions(_Strict):
    """Where splits and dividends come from: a file, or the bars' own adjusted close."""

    file: Name | None = None
    columns: ActionColumns = ActionColumns(
        symbol="symbol", date="date", action="action", value="value"
    )
    date_format: Name = "%Y-%m-%d"
    dividends: Basis | None = None
    recover_from: Literal["adj_close"] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.file is None) == (self.recover_from is None):
            raise ValueError("give either `file` or `recover_from: adj_close`")
        if self.dividends == "total_return":
            raise ValueError("dividends are per share `traded` or `split_adjusted`")
        return self


class FilesConfig(_Strict):
    """All of `files.yaml`."""

    files: Annotated[list[Name], Field(min_length=1)]
    columns: BarColumns
    symbol_from_file_name: bool = False
    date_format: Name = "%Y-%m-%d"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    basis: Basis
    reinvested_at: Reinvestment = "previous_close"
    adjusted_through: date | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    calendar: Name
    publication_lag_hours: Annotated[float, Field(ge=0, le=240)] = 4
    instruments: list[InstrumentEntry] | None = None
    universe: Name | None = None
    actions: Actions | None = None

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("calendar")
    @classmethod
    def _known_calendar(cls, value: str) -> str:
        try:
            calendars.bounds(value)
        except PlatformError as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("instruments")
    @classmethod
    def _unique(cls, value: list[InstrumentEntry] | None) -> list[InstrumentEntry] | None:
        if value is not None:
            check_unique(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.columns.symbol is None) != self.symbol_from_file_name:
            raise ValueError("give either `columns.symbol` or `symbol_from_file_name: true`")
        if self.instruments is not None and self.universe is not None:
            raise ValueError("give either `instruments` or `universe`")
        if self.basis != "traded" and (self.actions is None or self.actions.file is None):
            raise ValueError(
                f"basis {self.basis} needs `actions.file`: prices are stored as traded, and they "
                "can be recovered only with the splits (from total_return also the dividends) that "
                "were divided out; a file with only its header says that there were none"
            )
        if self.actions and self.actions.recover_from and self.columns.adj_close is None:
            raise ValueError("actions.recover_from: adj_close needs `columns.adj_close`")
        return self
