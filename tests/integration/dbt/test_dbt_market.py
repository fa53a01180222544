"""Figures of the market marts against the same formulas in numpy, on every row of the sample."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from stock_platform.ml.features import FEATURES
from stock_platform.settings import Settings
from stock_platform.warehouse.client import connect
from tests.support import panels

SECTORS = {
    "AAPL": "Information Technology",
    "IBM": "Information Technology",
    "MSFT": "Information Technology",
    "GOOG": "Communication Services",
    "FB": "Communication Services",
}


@pytest.fixture
def client(sample: tuple[Settings, float]) -> Iterator[Any]:
    connection = connect(sample[0])
    yield connection
    connection.close()


def table(client: Any, sql: str) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(client.query_arrow(sql)))


@pytest.fixture
def bars(client: Any) -> pl.DataFrame:
    """Every bar: symbol, session, traded prices, price_index, simple return `r`."""
    found = table(
        client,
        "SELECT toString(symbol) AS symbol, session, open, high, low, close, volume, split_factor,"
        " price_index, log_return FROM int_daily_prices ORDER BY symbol, session",
    )
    return found.with_columns(
        session=pl.col("session").cast(pl.Date), r=pl.col("log_return").exp() - 1
    )


def test_volatility_drawdown_and_beta(client: Any, bars: pl.DataFrame) -> None:
    market = dict(bars.group_by("session").agg(pl.col("r").mean()).iter_rows())
    rows = table(
        client, "SELECT * EXCEPT symbol, toString(symbol) AS symbol FROM agg_volatility"
    ).sort("symbol", "session")
    assert rows.height == bars.height
    full = 0
    for (symbol,), own in bars.group_by("symbol", maintain_order=True):
        found = rows.filter(pl.col("symbol") == symbol)
        squares = own["log_return"] ** 2
        for n in (5, 22, 60, 250):
            expected = (squares.rolling_mean(n) * 252).sqrt()
            assert_close(found[f"volatility_{n}"], expected)
        high = own["price_index"].rolling_max(250, min_samples=1)
        assert_close(found["drawdown_250"], own["price_index"] / high - 1)
        x = own["r"].to_numpy()
        y = np.array([market[day] for day in own["session"]], dtype=float)
        betas: list[float | None] = [None] * own.height
        for last in range(250, own.height):
            window = slice(last - 249, last + 1)
            covariance = np.cov(x[window], y[window])
            betas[last] = covariance[0, 1] / covariance[1, 1]
        assert_close(found["beta_250"], pl.Series(betas, dtype=pl.Float64))
        full += own.height - 250 if own.height > 250 else 0
    assert full > 10_000


def assert_close(found: pl.Series, expected: pl.Series) -> None:
    assert found.is_null().to_list() == expected.is_null().to_list()
    np.testing.assert_allclose(
        found.drop_nulls().to_numpy(), expected.drop_nulls().to_numpy(), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("sector", ["", "Information Technology", "Communication Services"])
def test_overview_of_a_sector_and_of_the_whole_market(
    client: Any, bars: pl.DataFrame, sector: str
) -> None:
    index = pl.col("price_index")
    before = index.shift(1)
    mine = bars.with_columns(
        is_high=(index > before.rolling_max(249)).over("symbol").fill_null(value=False),
        is_low=(index < before.rolling_min(249)).over("symbol").fill_null(value=False),
        turnover=pl.col("close") * pl.col("volume"),
    ).filter(pl.col("symbol").replace_strict(SECTORS).is_in([sector]) | pl.lit(not sector))
    best = pl.col("symbol").filter(pl.col("r").is_not_null())
    ranked = best.sort_by(pl.col("r").drop_nulls())
    expected = (
        mine.group_by("session")
        .agg(
            instruments=pl.len(),
            advances=(pl.col("r") > 0).sum(),
            declines=(pl.col("r") < 0).sum(),
            unchanged=(pl.col("r") == 0).sum(),
            new_highs_250=pl.col("is_high").sum(),
            new_lows_250=pl.col("is_low").sum(),
            mean_return=pl.col("r").mean(),
            median_return=pl.col("r").median(),
            dispersion=pl.col("r").std(ddof=0),
            turnover=pl.col("turnover").sum(),
            top_gainer=ranked.last().fill_null(""),
            top_gainer_return=pl.col("r").max(),
            top_loser=ranked.first().fill_null(""),
            top_loser_return=pl.col("r").min(),
        )
        .sort("session")
    )
    found = table(
        client,
        "SELECT * REPLACE (toString(top_gainer) AS top_gainer, toString(top_loser) AS top_loser)"
        f" FROM agg_market_overview WHERE sector = '{sector}' ORDER BY session",
    )
    assert found["session"].cast(pl.Date).to_list() == expected["session"].to_list()
    for column in expected.columns[1:]:
        if expected[column].dtype == pl.Float64:
            assert_close(found[column], expected[column])
        else:
            assert found[column].to_list() == expected[column].to_list(), column
    assert expected["new_highs_250"].sum() > 100


def test_correlation_over_the_last_60_common_sessions(client: Any, bars: pl.DataFrame) -> None:
    wide = bars.pivot(on="symbol", index="session", values="log_return").sort("session")
    last = wide["session"].max()
    found = table(
        client,
        "SELECT toString(symbol) AS a, toString(other_symbol) AS b, week, session, correlation"
        " FROM agg_correlation ORDER BY a, b, week",
    ).with_columns(session=pl.col("session").cast(pl.Date), week=pl.col("week").cast(pl.Date))
    pairs = found.select("a", "b").unique()
    assert pairs.height == 20
    for a, b in pairs.iter_rows():
        both = wide.select("session", x=a, y=b).drop_nulls()
        days = both["session"].to_list()
        expected = []
        for place in range(59, len(days)):
            is_week_end = place + 1 == len(days) or monday(days[place + 1]) != monday(days[place])
            if is_week_end and days[place] > last - timedelta(days=3 * 365):
                window = both[place - 59 : place + 1]
                value = np.corrcoef(window["x"].to_numpy(), window["y"].to_numpy())[0, 1]
                expected.append((monday(days[place]), days[place], value))
        rows = found.filter(pl.col("a") == a, pl.col("b") == b)
        assert rows.select("week", "session").rows() == [row[:2] for row in expected]
        np.testing.assert_allclose(rows["correlation"], [row[2] for row in expected], rtol=1e-9)


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def test_anomalies_are_far_from_the_twelve_months_before(client: Any, bars: pl.DataFrame) -> None:
    """Every row above the threshold and no other; the row's own month is not in its reference."""
    expected = {}
    for (symbol,), own in bars.group_by("symbol", maintain_order=True):
        figures = {
            "return": own["log_return"],
            "gap": own["log_return"] + (own["open"] / own["close"]).log(),
            "volume": (own["volume"] / own["split_factor"]).log(),
        }
        months = np.array([day.year * 12 + day.month for day in own["session"]])
        for kind, series in figures.items():
            values = series.to_numpy()
            for month in np.unique(months):
                known = (months >= month - 12) & (months < month) & ~np.isnan(values)
                reference = values[known]
                if len(reference) < 120:
                    continue
                middle = np.median(reference)
                spread = np.median(np.abs(reference - middle))
                for place in np.flatnonzero(months == month):
                    z = (values[place] - middle) / (1.4826 * spread)
                    if abs(z) >= 6:
                        key = (symbol, own["session"][int(place)], kind)
                        expected[key] = (values[place], middle, spread, z, len(reference))
    rows = table(
        client,
        "SELECT toString(symbol) AS symbol, session, toString(kind) AS kind, value, median, mad, z,"
        " observations FROM fct_price_anomalies",
    ).with_columns(session=pl.col("session").cast(pl.Date))
    found = {row[:3]: row[3:] for row in rows.iter_rows()}
    assert found.keys() == expected.keys()
    assert {kind for _, _, kind in found} == {"return", "gap", "volume"}
    for key, figures in expected.items():
        assert found[key] == pytest.approx(figures, rel=1e-9), key


def test_weeks_are_made_of_their_days(client: Any, bars: pl.DataFrame) -> None:
    """The sample's splits fall on a first session of their weeks or, AAPL's of 2000, inside one."""
    basis = pl.col("split_factor") / pl.col("split_factor").last()
    expected = (
        bars.with_columns(week=pl.col("session").dt.truncate("1w"))
        .group_by("symbol", "week", maintain_order=True)
        .agg(
            sessions=pl.len(),
            open=(pl.col("open") * basis).first(),
            high=(pl.col("high") * basis).max(),
            low=(pl.col("low") * basis).min(),
            close=pl.col("close").last(),
            volume=(pl.col("volume") / basis).sum(),
            index=pl.col("price_index").last(),
        )
        .with_columns(log_return=pl.col("index").log().diff().over("symbol"))
        .sort("symbol", "week")
    )
    found = table(
        client,
        "SELECT week, sessions, open_traded AS open, high_traded AS high, low_traded AS low,"
        " close_traded AS close, volume_traded AS volume, log_return"
        " FROM fct_weekly_prices ORDER BY toString(symbol), week",
    )
    assert found["week"].cast(pl.Date).to_list() == expected["week"].to_list()
    assert found["sessions"].to_list() == expected["sessions"].to_list()
    for column in ("open", "high", "low", "close", "volume", "log_return"):
        assert_close(found[column], expected[column])


def test_features_agree_with_polars(client: Any) -> None:
    """Each window's formula, written a second time without a warehouse."""
    ours = table(
        client, "SELECT * EXCEPT symbol, toString(symbol) AS symbol FROM fct_features_daily"
    ).with_columns(pl.col("session").cast(pl.Date))
    theirs = panels.features(panels.sample_bars(), panels.weeks().sessions)
    sector = pl.col("symbol").replace_strict(SECTORS)
    theirs = theirs.with_columns(square=pl.col("feature_vol_1") ** 2, sector=sector).with_columns(
        of_sector=pl.col("square").mean().over("sector", "session")
    )
    theirs = theirs.sort("symbol", "session").with_columns(
        feature_sector_vol_22=pl.col("of_sector").rolling_mean(22).over("symbol").sqrt()
    )
    # The weights of ewma_vol and the mean of volume_ratio are defined otherwise there.
    other = {"feature_ewma_vol", "feature_volume_ratio", "feature_rank_volume_ratio"}
    names = [name for name in FEATURES if name not in other]
    both = ours.join(theirs, on=["symbol", "session"], suffix="_again")
    assert both.height == ours.height == theirs.height
    for name in names:
        found, expected = (
            both[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
            for column in (name, f"{name}_again")
        )
        known = np.isfinite(found) & np.isfinite(expected)
        assert known.mean() > 0.9, name
        # One that needs a return begins a bar later than one that does not.
        assert (np.isfinite(found) != np.isfinite(expected)).sum() <= len(SECTORS), name
        np.testing.assert_allclose(
            found[known], expected[known], rtol=1e-5, atol=1e-7, err_msg=name
        )
