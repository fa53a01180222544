"""A file's symbols that changed hands or names: which instrument a row is of."""

from __future__ import annotations

from datetime import date

import pytest

from stock_platform.sources.base import SourceError
from tests.unit.sources.conftest import Folder, everything, rejected

ROWS = [
    "ABC,2024-01-02,10,11,9,10.5,1000",
    "ABC,2024-01-03,10,11,9,10.5,1000",
    "ABC,2024-01-04,10,11,9,10.5,1000",
    "ABC,2024-01-05,10,11,9,10.5,1000",
    "ABC,soon,10,11,9,10.5,1000",
    "NEW,2024-01-05,10,11,9,10.5,1000",
]


def owners(source) -> list[tuple[str, str, date]]:
    bars = everything(source).tables["equity_prices"]
    return bars.sort("session", "instrument_id").select("instrument_id", "symbol", "session").rows()


def test_a_row_of_a_recycled_symbol_is_whose_it_was_on_its_day(folder: Folder) -> None:
    source = folder(
        ROWS[:5],
        instruments=[
            {"instrument_id": "X:LATER", "symbol": "ABC", "first_session": date(2024, 1, 4)},
            {"instrument_id": "X:EARLIER", "symbol": "ABC", "last_session": date(2024, 1, 2)},
        ],
    )
    assert owners(source) == [
        ("X:EARLIER", "ABC", date(2024, 1, 2)),
        ("X:LATER", "ABC", date(2024, 1, 4)),
        ("X:LATER", "ABC", date(2024, 1, 5)),
    ]
    told = {(r["row_ref"], r["instrument_id"], r["detail"]) for r in rejected(source)}
    assert told == {
        ("bars.csv:3", "X:EARLIER", "after the instrument's last session 2024-01-02"),
        ("bars.csv:6", "X:EARLIER", "not a date written as %Y-%m-%d"),
    }


def test_rows_of_a_renamed_symbol_are_one_instruments(folder: Folder) -> None:
    rows = [{"symbol": "ABC", "last_session": date(2024, 1, 3)}]
    rows.append({"symbol": "NEW", "first_session": date(2024, 1, 5)})
    source = folder(
        [*ROWS[:2], ROWS[5]],
        instruments=[{"instrument_id": "X:ONE", "symbol": "NEW", "symbols": {"files": rows}}],
    )
    assert owners(source) == [
        ("X:ONE", "ABC", date(2024, 1, 2)),
        ("X:ONE", "ABC", date(2024, 1, 3)),
        ("X:ONE", "NEW", date(2024, 1, 5)),
    ]
    coverage = everything(source).tables["coverage"]
    assert coverage.select("symbol", "session", "reason").rows() == [
        ("ABC", date(2024, 1, 4), "provider_missing")
    ]


def test_holders_of_one_symbol_need_ids_of_their_own(folder: Folder) -> None:
    source = folder(
        ROWS[:4],
        instruments=[
            {"symbol": "ABC", "first_session": date(2024, 1, 4)},
            {"instrument_id": "XNYS:ABC", "symbol": "ABC", "last_session": date(2024, 1, 2)},
        ],
    )
    with pytest.raises(SourceError, match="2 of the listed instruments would be 'XNYS:ABC': give"):
        source.instruments()
