"""What the page of `forecasts` shows of a week, which may be one of long ago."""

from datetime import date
from types import SimpleNamespace

import polars as pl
import pytest

from stock_platform.defs.forecasting import forecasts as module


def test_a_past_week_is_not_called_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stock_platform.ml.plots.fan_chart", lambda *_: b"png")
    issued = pl.DataFrame(
        {
            "role": ["champion"],
            "symbol": ["AAA"],
            "model_name": ["forest"],
            "origin_session": [date(2005, 3, 4)],
            "target_session": [date(2005, 3, 11)],
            "horizon": [5],
            "origin_price": [10.0],
            **dict.fromkeys(("q10", "q50", "q90", "p_up"), 0.5),
        }
    )
    history = pl.DataFrame({"symbol": ["AAA"], "session": [date(2005, 3, 4)], "close": [10.0]})
    client = SimpleNamespace(query_arrow=lambda *_, **__: history.to_arrow())
    shown = module._fan(client, [issued])
    assert sorted(shown) == ["forecast_fan", "week_ahead"]
    assert "next" not in str(shown).lower()
    assert "2005-03-04" in str(shown["week_ahead"].value)
