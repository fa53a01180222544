"""Which instruments `stock-platform run` says it has no forecast of, and why."""

from datetime import date
from typing import Any

import pytest

from stock_platform.cli import run
from stock_platform.defs.pipeline import Refusals
from stock_platform.settings import Settings
from stock_platform.universe import Instrument, Validity

WEEK = date(2024, 1, 1)


def instrument(symbol: str, **more: Any) -> Instrument:
    day = date(2020, 1, 2)
    return Instrument(symbol, symbol, symbol, "equity", "XNYS", "USD", "", day, **more)


def row(symbol: str, origin: date) -> dict[str, Any]:
    return {"symbol": symbol, "origin": origin}


def test_every_instrument_without_a_forecast_of_the_week_is_named() -> None:
    renamed = instrument("META", symbols={"files": (Validity("FB"), Validity("META"))})
    said = Refusals(
        WEEK,
        {"AAA": "history_too_short: 4 bars"},
        [instrument(s) for s in ("AAA", "BBB", "CCC", "DDD")] + [renamed],
    )
    rows = [row("CCC", date(2024, 1, 5)), row("DDD", date(2023, 12, 29))]
    assert run.not_forecast(said, [*rows, row("FB", date(2024, 1, 5))]) == {
        "AAA": "history_too_short: 4 bars",
        "BBB": "no bar in the week",
        "DDD": "no bar in the week",
    }


def test_without_any_week_that_has_an_origin_only_old_forecasts_speak() -> None:
    said = Refusals(None, {}, [instrument("AAA"), instrument("BBB")])
    assert run.not_forecast(said, [row("BBB", date(2023, 12, 29))]) == {
        "AAA": "no bar at the end of any of the last 10 weeks"
    }


def test_the_week_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = Refusals(WEEK, {"AAA": "history_too_short: 4 bars"}, [instrument("BBB")])
    run._print_table([], said, Settings())
    printed = capsys.readouterr().out
    assert "not forecast in the week of 2024-01-01: AAA (history_too_short: 4 bars)" in printed
    assert "not forecast in the week of 2024-01-01: BBB (no bar in the week)" in printed
