"""What the page of `forecasts` shows of a week: one of long ago, or one of a large market."""

from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from stock_platform.defs.forecasting import forecasts as module

ORIGIN = date(2005, 3, 4)


def page(monkeypatch: pytest.MonkeyPatch, symbols: list[str]):
    """The metadata of a week with these symbols, each traded more than the one before; and what was
    drawn."""
    drawn: list[str] = []

    def fan_chart(_: pl.DataFrame, forecasts: pl.DataFrame) -> bytes:
        drawn.extend(forecasts["symbol"].unique().sort())
        return b"png"

    monkeypatch.setattr("stock_platform.ml.plots.fan_chart", fan_chart)
    count = len(symbols)
    issued = pl.DataFrame(
        {
            "role": ["champion"] * count,
            "symbol": symbols,
            "model_name": ["forest"] * count,
            "origin_session": [ORIGIN] * count,
            "target_session": [date(2005, 3, 11)] * count,
            "horizon": [5] * count,
            "origin_price": [10.0] * count,
            **{name: [0.5] * count for name in ("q10", "q50", "q90", "p_up")},
        }
    )
    history = pl.DataFrame(
        {
            "symbol": symbols,
            "session": [ORIGIN] * count,
            "close": [10.0] * count,
            "turnover": [float(place) for place in range(count)],
        }
    )
    client = SimpleNamespace(query_arrow=lambda *_, **__: history.to_arrow())
    return module._fan(client, [issued]), drawn


def test_a_past_week_is_not_called_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, _ = page(monkeypatch, ["AAA"])
    assert sorted(shown) == ["forecast_fan", "week_ahead"]
    assert "next" not in str(shown).lower()
    assert "2005-03-04" in str(shown["week_ahead"].value)


def test_of_a_large_market_the_most_traded_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel for each of 3,300 would be a picture that can't be made."""
    symbols = [f"S{n:04d}" for n in range(3300)]
    shown, drawn = page(monkeypatch, symbols)
    assert drawn == symbols[-module.MOST_PANELS :]
    assert len(str(shown["week_ahead"].value)) < 50_000
