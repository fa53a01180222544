"""How the pages ask the warehouse: as its read-only user, answers kept for a minute.

Whatever can go wrong is told as a sentence with the mend; a page never shows a traceback for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import streamlit as st

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings, load_settings

if TYPE_CHECKING:
    from clickhouse_connect.driver.httpclient import HttpClient

KEPT_SECONDS = 60
"""How old an answer may be: marts change once a day."""
MOST_ANSWERS = 400

UNKNOWN_TABLE, UNKNOWN_DATABASE, UNKNOWN_COLUMN = 60, 81, 47
_FORMAT = {
    "output_format_arrow_date_as_uint16": "0",
    "output_format_arrow_low_cardinality_as_dictionary": "0",
}


class WarehouseDownError(PlatformError):
    """Nothing answers where the warehouse should be."""


class MartMissingError(PlatformError):
    """The warehouse answers, but what the page reads has not been built, or by older code."""


@dataclass(frozen=True)
class Query:
    """A question: ClickHouse SQL and its bound parameters."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


def ask(query: Query) -> pl.DataFrame:
    """The answer, at most KEPT_SECONDS old.

    Raises:
        WarehouseDownError: no warehouse answers.
        MartMissingError: a table or column is not there.
        PlatformError: the warehouse refuses the question.
    """
    return _answer(query.sql, dict(query.parameters))


def read(client: HttpClient, query: Query) -> pl.DataFrame:
    """The answer of a client, with dates as dates and text as text.

    Raises:
        MartMissingError: a table or column is not there.
        PlatformError: the warehouse refuses the question, or is gone.
    """
    from clickhouse_connect.driver.exceptions import DatabaseError

    try:
        found = client.query_arrow(query.sql, parameters=dict(query.parameters), settings=_FORMAT)
    except DatabaseError as error:
        raise _explained(error) from None
    return pl.DataFrame(pl.from_arrow(found))


@st.cache_resource(show_spinner=False)
def settings() -> Settings:
    """The settings of this server."""
    return load_settings()


@st.cache_resource(show_spinner=False)
def _client() -> HttpClient:
    from stock_platform.warehouse.client import connect

    return connect(settings(), run_id="pages", user="reader")


@st.cache_data(ttl=KEPT_SECONDS, max_entries=MOST_ANSWERS, show_spinner=False)
def _answer(sql: str, parameters: dict[str, Any]) -> pl.DataFrame:
    query = Query(sql, parameters)
    try:
        return read(_connected(), query)
    except WarehouseDownError:
        _client.clear()  # it may have been started anew, elsewhere
        return read(_connected(), query)


def _connected() -> HttpClient:
    try:
        return _client()
    except PlatformError as error:
        _client.clear()
        raise WarehouseDownError(
            f"The warehouse does not answer, so there is nothing to show. {error}. "
            "`make up` starts everything; `stock-platform doctor` says what is wrong."
        ) from None


def _explained(error: Exception) -> PlatformError:
    code = getattr(error, "code", None)
    if code is None:
        return WarehouseDownError(
            f"The warehouse stopped answering ({error}). `make up` starts everything; "
            "`stock-platform doctor` says what is wrong."
        )
    told = str(error).partition("DB::Exception: ")[2] or str(error)
    if code in (UNKNOWN_TABLE, UNKNOWN_DATABASE):
        return MartMissingError(
            f"Not built yet: {told.partition('. ')[0]}. `make run` builds what is missing."
        )
    if code == UNKNOWN_COLUMN:
        return MartMissingError(
            f"Built by an older version of the code: {told.partition('. ')[0]}. `make run` "
            "builds it anew."
        )
    return PlatformError(f"The warehouse refuses the question: {told}")
