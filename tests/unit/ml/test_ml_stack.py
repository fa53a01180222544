"""The wide stack as a candidate: the same forecasts as the walk over a panel's own, leak-free."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import by_name
from stock_platform.ml.candidates.base import Fitted, NotEnoughHistoryError
from stock_platform.ml.candidates.linear import thinned
from stock_platform.ml.candidates.stack import Stack
from stock_platform.ml.features import Panel
from stock_platform.ml.issue import input_digests
from stock_platform.ml.serialise import model_digest, pack, unpack
from stock_platform.ml.weekly.bars import Bars
from stock_platform.ml.weekly.features import weekly_panel
from stock_platform.ml.weekly.models import Regression
from tests.support import panels
from tests.support.weekly import waves

AS_OF = date(2013, 6, 16)


@lru_cache(maxsize=1)
def prices() -> pl.DataFrame:
    """Bars on the basis of the first share; s3 comes to the market later than the others."""
    return waves(30, 6, s3=300)


def bars_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The same as traded: s1 was split 2:1 on a day, after which a share is worth half."""
    ratio = (
        pl.when((pl.col("symbol") == "s1") & (pl.col("date") >= date(2011, 3, 1)))
        .then(2.0)
        .otherwise(1.0)
    )
    return frame.select(
        instrument_id="symbol",
        symbol="symbol",
        session="date",
        **{name: pl.col(name) / ratio for name in ("open", "high", "low", "close")},
        volume=pl.col("volume") * ratio,
        split_factor=ratio,
        total_return_factor=ratio * 0.9,
    )


def panel_of(frame: pl.DataFrame) -> Panel:
    bars = bars_of(frame)
    return panels.panel_of(panels.features(bars, panels.weeks().sessions)).with_bars(bars)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(prices())


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> Fitted:
    candidate = by_name("stack")
    return Fitted(candidate, candidate.fit(panel, AS_OF))


def test_the_scale_is_that_of_the_backtest(panel: Panel) -> None:
    """Refitted at the same week, production and `stock-platform backtest` say the same."""
    weekly = weekly_panel(Bars.from_frame(prices()))
    week = int(np.searchsorted(weekly.sessions[weekly.at], np.datetime64(AS_OF))) - 1
    model = Regression("stack")
    expected = model.scales(weekly, [week], lambda *_: None)[week]
    origin = weekly.sessions[weekly.at[week]]
    rows = panel.rows(panel.sessions == origin)
    stack = Stack()
    _, scale = stack.location_scale(stack.fit(panel, AS_OF), rows)
    order = [weekly.symbols.index(name) for name in rows.frame["instrument_id"]]
    np.testing.assert_allclose(scale[:, 4], expected[order], rtol=1e-4)


def test_a_split_changes_nothing(panel: Panel) -> None:
    whole = panels.panel_of(panels.features(bars_of(prices()), panels.weeks().sessions))
    unsplit = prices().select(
        instrument_id="symbol",
        session="date",
        **{name: pl.col(name) for name in ("open", "high", "low", "close", "volume")},
        split_factor=pl.lit(1.0),
        total_return_factor=pl.lit(0.9),
    )
    other = whole.with_bars(unsplit).pools["equity"]
    np.testing.assert_allclose(panel.pools["equity"].x, other.x, atol=1e-4)


def test_features_and_fit_ignore_what_came_after(panel: Panel) -> None:
    known = panel_of(prices().filter(pl.col("date") <= AS_OF))
    assert known.wide is not None
    assert panel.wide is not None
    count = len(known.wide.moments(AS_OF)._means)
    early = known.wide.week < count
    np.testing.assert_array_equal(known.wide.x[early], panel.wide.x[: early.sum()])
    stack = Stack()
    arrays, again = stack.fit(known, AS_OF), stack.fit(panel, AS_OF)
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, again[name], err_msg=name)


def test_a_fit_in_steps_is_the_fit_at_once(panel: Panel) -> None:
    fresh = panel_of(prices())
    for weeks in (300, 100, 3):
        assert panel.wide is not None
        panel.wide.moments(AS_OF - timedelta(weeks=weeks))
    for name, values in Stack().fit(fresh, AS_OF).items():
        np.testing.assert_array_equal(values, Stack().fit(panel, AS_OF)[name], err_msg=name)


def test_a_row_is_forecast_alike_alone_and_in_company(panel: Panel, fitted: Fitted) -> None:
    rows = panel.rows(panel.usable & (panel.sessions == np.datetime64("2013-06-21")))
    assert len(rows) == 30
    together = fitted.predict(rows).quantiles
    digests = input_digests(rows)
    for place in range(len(rows)):
        alone = rows.rows(np.arange(len(rows)) == place)
        np.testing.assert_allclose(fitted.predict(alone).quantiles[0], together[place], rtol=1e-12)
        assert input_digests(alone) == [digests[place]]


def test_another_bar_of_a_neighbour_changes_the_digest() -> None:
    """What the stack reads of a row is told by its input digest: the market's state too."""
    day = pl.col("date") == date(2013, 6, 20)
    other = prices().with_columns(
        high=pl.when(day & (pl.col("symbol") == "s2")).then(pl.col("high") * 1.1).otherwise("high")
    )
    digests = []
    for frame in (prices(), other):
        whole = panel_of(frame)
        rows = whole.rows(whole.sessions == np.datetime64("2013-06-21"))
        digests.append(input_digests(rows.where(pl.col("instrument_id") == "s5")))
    assert digests[0] != digests[1]


def test_it_is_packed_and_beats_the_walk(panel: Panel, fitted: Fitted) -> None:
    again = unpack(pack(fitted), model_digest(fitted))
    rows = panel.rows(panel.usable & panel.origins & (panel.sessions > np.datetime64(AS_OF)))
    np.testing.assert_array_equal(again.predict(rows).quantiles, fitted.predict(rows).quantiles)
    from stock_platform.ml.metrics import pinball

    actual = rows.forward.returns[:, 4]
    matured = np.isfinite(actual)
    walk = by_name("random_walk").predict({}, rows).quantiles[matured, 4]
    own = fitted.predict(rows).quantiles[matured, 4]
    assert pinball(actual[matured], own).mean() < 0.97 * pinball(actual[matured], walk).mean()


def test_too_few_rows_and_no_bars_sit_out(panel: Panel) -> None:
    with pytest.raises(NotEnoughHistoryError, match="rows to train"):
        Stack().fit(panel, date(2010, 1, 3))
    with pytest.raises(NotEnoughHistoryError, match="without bars"):
        Stack().fit(Panel(panel.frame), AS_OF)


def test_pools_are_kept_apart(panel: Panel) -> None:
    mixed = panel.frame.with_columns(
        asset_class=pl.when(pl.col("instrument_id") == "s2")
        .then(pl.lit("metal"))
        .otherwise("asset_class")
    )
    both = Panel(mixed).with_bars(bars_of(prices()))
    assert set(both.pools) == {"equity", "metal"}
    with pytest.raises(ValueError, match="take one pool"):
        _ = both.wide
    own = both.where(pl.col("asset_class") == "metal")
    assert own.wide is both.pools["metal"]
    assert int((own.wide_rows >= 0).sum()) == len(own.wide.x)


def test_a_share_listed_later_changes_no_bit_before_it() -> None:
    """Its column is there in a longer read: neither peers nor the market's sums may see it."""
    late = waves(13, 6, s12=1200)
    listed = late.filter(pl.col("symbol") == "s12")["date"].min()
    assert isinstance(listed, date)
    short = panel_of(late.filter(pl.col("date") < listed))
    long = panel_of(late).where(pl.col("session") < listed)
    rows, again = (
        panel.rows(panel.origins & panel.usable & (panel.wide_rows >= 0)) for panel in (short, long)
    )
    assert len(rows) == len(again) > 1000
    assert rows.wide is not None
    assert again.wide is not None
    np.testing.assert_array_equal(rows.wide.x[rows.wide_rows], again.wide.x[again.wide_rows])
    assert input_digests(rows) == input_digests(again)


def test_without_bars_there_is_no_forecast(panel: Panel, fitted: Fitted) -> None:
    rows = Panel(panel.frame).rows(panel.usable & panel.origins)
    with pytest.raises(PlatformError, match="came without"):
        fitted.predict(rows)


@pytest.mark.parametrize("most", [100, 700, 5000, 10**9])
def test_thinning_keeps_dates_and_instruments(panel: Panel, most: int) -> None:
    """A fit of many instruments would else rest on a handful of days."""
    mask = panel.usable
    kept = thinned(panel, mask, most)
    assert not (kept & ~mask).any()
    assert min(most, int(mask.sum())) * 0.4 < kept.sum() <= max(most * 1.6, 0)
    dates = len(np.unique(panel.sessions[kept]))
    assert dates >= min(most * 0.6, 250)
    if most >= 700:
        assert panel.frame.filter(pl.Series(kept))["instrument_id"].n_unique() == 30
