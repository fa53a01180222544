"""Adjusting and recovering are each other's inverse; what can't be recovered is refused."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_platform.sources import basis
from stock_platform.sources.base import SourceError

START = date(2020, 1, 1)
ACTION_SCHEMA = {
    "instrument_id": pl.String,
    "session": pl.Date,
    "action": pl.String,
    "value": pl.Float64,
}


@st.composite
def histories(draw) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two instruments' bars as traded, and splits and dividends, some of them on one day."""
    frames, events = [], []
    for name in ("A", "B"):
        n = draw(st.integers(12, 30))
        rng = np.random.default_rng(draw(st.integers(0, 10**6)))
        ratio, paid = np.ones(n + 3), np.zeros(n + 3)
        for at in draw(st.lists(st.integers(1, n + 2), max_size=2, unique=True)):
            ratio[at] = draw(st.sampled_from([1, 2, 3, 7, 1.5, 0.1, 0.04]))
        for at in draw(st.lists(st.integers(1, n - 1), max_size=2, unique=True)):
            paid[at] = draw(st.sampled_from([0.2, 0.01, 0.1]))
        close = 1000 * np.exp(np.cumsum(rng.normal(0, 0.02, n))) / np.cumprod(ratio)[:n]
        days = [START + timedelta(days=i) for i in range(n + 3)]
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": name,
                    "session": days[:n],
                    "open": close * 1.01,
                    "high": close * 1.02,
                    "low": close * 0.98,
                    "close": close,
                    "volume": np.floor(rng.uniform(1e3, 1e6, n)),
                }
            )
        )
        for i, day in enumerate(days):
            if ratio[i] != 1:
                events.append((name, day, "split", float(ratio[i])))
            if paid[i]:
                events.append((name, day, "dividend", float(paid[i])))
    return pl.concat(frames), pl.DataFrame(events, schema=ACTION_SCHEMA, orient="row")


def adjusted(bars: pl.DataFrame, actions: pl.DataFrame, how: str) -> pl.DataFrame:
    """The slow, plain way: walk back over every session."""
    parts = []
    for (name,), mine in bars.group_by("instrument_id", maintain_order=True):
        events = actions.filter(instrument_id=name)
        days, close = mine["session"].to_list(), mine["close"].to_list()
        last = max([days[-1], *events["session"].to_list()])
        factor, shares = 1.0, 1.0
        factors, all_shares = {}, {}
        day = last
        while day >= days[0]:
            if day in days:
                factors[day], all_shares[day] = factor, shares
            ratio = paid = None
            for action, value in events.filter(session=day).select("action", "value").iter_rows():
                ratio, paid = (value, paid) if action == "split" else (ratio, value)
            if day > days[0]:
                if paid and how == "previous_close":
                    before = close[days.index(day) - 1]
                    factor *= 1 - paid * (ratio or 1) / before
                if paid and how == "ex_close":
                    factor /= 1 + paid / close[days.index(day)]
                factor, shares = factor / (ratio or 1), shares * (ratio or 1)
            day -= timedelta(days=1)
        f = pl.Series([factors[d] for d in days])
        s = pl.Series([all_shares[d] for d in days])
        parts.append(
            mine.with_columns(
                *[pl.col(c) * f for c in basis.PRICES], volume=pl.col("volume") * s, factor=f
            )
        )
    return pl.concat(parts)


def same(a: pl.DataFrame, b: pl.DataFrame) -> None:
    for column in (*basis.PRICES, "volume"):
        np.testing.assert_allclose(a[column].to_numpy(), b[column].to_numpy(), rtol=1e-9)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_split_adjusted_comes_back_as_traded(history) -> None:
    bars, actions = history
    splits = actions.filter(action="split")
    same(basis.from_split_adjusted(adjusted(bars, splits, "none"), splits), bars)


@settings(max_examples=60, deadline=None)
@given(histories(), st.sampled_from(["previous_close", "ex_close"]))
def test_total_return_comes_back_as_traded(history, how: str) -> None:
    bars, actions = history
    same(basis.from_total_return(adjusted(bars, actions, how), actions, how), bars)


@settings(max_examples=60, deadline=None)
@given(histories(), st.sampled_from(["previous_close", "ex_close"]))
def test_splits_and_dividends_are_read_off_an_adjusted_close(history, how: str) -> None:
    bars, actions = history
    # an actions day that no bar can show: before the first or after the last bar
    shown = actions.join(bars.select(basis.KEY), on=basis.KEY).filter(pl.col("session") > START)
    closes = adjusted(bars, shown, how).select("instrument_id", "session", adj_close="close")
    found = basis.recover_actions(bars.join(closes, on=basis.KEY), how)
    wanted = shown.sort("instrument_id", "session", "action")
    assert found.select("session", "action").equals(wanted.select("session", "action"))
    np.testing.assert_allclose(
        found["value"].to_numpy(), wanted["value"].to_numpy(), rtol=1e-6, atol=1e-6
    )


def series(close: list[float], adj_close: list[float]) -> pl.DataFrame:
    days = [START + timedelta(days=i) for i in range(len(close))]
    return pl.DataFrame(
        {"instrument_id": "A", "session": days, "close": close, "adj_close": adj_close}
    )


def test_a_large_dividend_is_no_split() -> None:
    # 20 paid on 100: the step is 5/4 to the last digit, but the price did not fall by as much
    bars = series([100.0] * 3 + [96.0] * 3, [80.0] * 3 + [96.0] * 3)
    (row,) = basis.recover_actions(bars, "ex_close").to_dicts()
    assert (row["action"], row["value"]) == ("dividend", 24.0)


def test_a_split_and_a_dividend_of_one_day_are_told_apart() -> None:
    step = 2 * (1 + 0.5 / 51)
    bars = series([100.0] * 3 + [51.0] * 3, [51.0 * 100 / 51 / step] * 3 + [51.0] * 3)
    rows = basis.recover_actions(bars, "ex_close").select("action", "value").rows()
    assert rows == [("dividend", 0.5), ("split", 2.0)]


def test_an_unusual_ratio_is_refused_rather_than_called_a_dividend() -> None:
    bars = series([100.0] * 3 + [50.0] * 3, [50.0 / 0.999] * 3 + [50.0] * 3)
    with pytest.raises(SourceError, match=r"A: on 2020-01-04 .*1\.9980:1.*actions file"):
        basis.recover_actions(bars, "ex_close")


def test_a_fall_of_the_adjusted_close_is_refused() -> None:
    bars = series([100.0] * 6, [50.0] * 3 + [49.0] * 3)
    with pytest.raises(SourceError, match=r"A: on 2020-01-04 .* falls .* 2.00%.*actions file"):
        basis.recover_actions(bars, "ex_close")


def test_rounding_that_hides_dividends_is_refused() -> None:
    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 200)))
    with pytest.raises(SourceError, match="rounded so coarsely"):
        basis.recover_actions(series(list(close), list(np.round(close / 50, 2))), "ex_close")


def test_a_dividend_above_the_price_is_refused() -> None:
    bars = series([100.0] * 4, [1.0] * 4).with_columns(
        *[pl.col("close").alias(c) for c in ("open", "high", "low")], volume=pl.lit(1.0)
    )
    actions = pl.DataFrame(
        [("A", date(2020, 1, 9), "dividend", 1.0)], schema=ACTION_SCHEMA, orient="row"
    )
    with pytest.raises(SourceError, match="after its last bar"):
        basis.from_total_return(bars, actions, "ex_close")
