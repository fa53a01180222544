"""Features of the weekly panel: right, and blind to what comes after the origin."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml.weekly import features, windows
from stock_platform.ml.weekly.bars import Bars, Daily
from stock_platform.ml.weekly.features import Weekly, weekly_panel
from stock_platform.ml.weekly.ranks import cross_rank
from tests.support.weekly import waves

PANEL = waves(symbols=7, years=4, s3=300)


@pytest.fixture(scope="module")
def whole() -> Weekly:
    return weekly_panel(Bars.from_frame(PANEL))


def cut(share: float) -> pl.DataFrame:
    days = PANEL["date"].unique().sort()
    return PANEL.filter(pl.col("date") <= days[int(share * len(days))])


def differences(whole: Weekly, part: Weekly) -> list[str]:
    """Names of what a shorter panel has otherwise, at the weeks that are over in both."""
    weeks = part.weeks - 1  # the last week of the shorter one may have ended later
    found = [
        name
        for place, name in enumerate(part.names)
        if not np.array_equal(whole.x[:weeks, :, place], part.x[:weeks, :, place])
    ]
    for name in ("ranks", "usable", "year_variance", "ewma_variance", "close"):
        ours, theirs = getattr(whole, name)[:weeks], getattr(part, name)[:weeks]
        if not np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"):
            found.append(name)
    return found


@pytest.mark.parametrize("share", [0.41, 0.6, 0.77, 0.95])
def test_a_longer_panel_changes_no_bit_of_a_feature(whole: Weekly, share: float) -> None:
    assert differences(whole, weekly_panel(Bars.from_frame(cut(share)))) == []


def test_a_window_that_reaches_past_its_origin_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = windows.Sums.mean

    def leaking(self, window, **other):
        kept, self._at = self._at, np.minimum(self._at + 1, len(self._sum) - 2)
        try:
            return honest(self, window, **other)
        finally:
            self._at = kept

    monkeypatch.setattr(windows.Sums, "mean", leaking)
    assert "vol_5" in seen_after_the_origin()


def test_prices_after_an_origin_change_nothing_of_it() -> None:
    assert seen_after_the_origin() == []


def seen_after_the_origin() -> list[str]:
    """What changes at an origin when every later price does."""
    bars = Bars.from_frame(PANEL)
    week = 150
    row = int(bars.origins()[week])
    after = pl.col("date") > bars.sessions[row].astype(object)
    moved = PANEL.with_columns(
        *(
            pl.when(after).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name)
            for name in ("open", "high", "low", "close", "adj_close", "volume")
        )
    )
    ours, theirs = weekly_panel(bars), weekly_panel(Bars.from_frame(moved))
    return [
        name
        for place, name in enumerate(ours.names)
        if not np.array_equal(ours.x[week, :, place], theirs.x[week, :, place])
    ] + ([] if np.array_equal(ours.ranks[week], theirs.ranks[week]) else ["ranks"])


def test_volatilities_agree_with_plain_numpy(whole: Weekly) -> None:
    week, symbol = 170, 2
    row = int(whole.at[week])
    bars = PANEL.filter(pl.col("symbol") == "s2").sort("date")
    returns = np.diff(np.log(bars["adj_close"].to_numpy()), prepend=np.nan)
    opened, top, low, close = (bars[name].to_numpy() for name in ("open", "high", "low", "close"))
    overnight = np.log(opened[1:] / close[:-1])
    up, down, end = np.log(top / opened), np.log(low / opened), np.log(close / opened)
    garman_klass = 0.5 * (up - down) ** 2 - (2 * np.log(2) - 1) * end**2
    rogers_satchell = up * (up - end) + down * (down - end)
    ranged = (overnight**2) + 0.5 * (garman_klass + rogers_satchell)[1:]

    def got(name: str) -> float:
        return float(whole.x[week, symbol, list(whole.names).index(name)])

    last = slice(row - 21, row + 1)
    assert got("vol_22") == pytest.approx(0.5 * np.log(np.mean(returns[last] ** 2)), abs=1e-5)
    assert got("range_22") == pytest.approx(0.5 * np.log(np.mean(ranged[row - 22 : row])), abs=1e-5)
    falls = np.where(returns[last] < 0, returns[last] ** 2, 0).sum() / (returns[last] ** 2).sum()
    assert got("falls_22") == pytest.approx(falls, abs=1e-5)
    assert whole.year_variance[week, symbol] == pytest.approx(
        np.mean(returns[row - 249 : row + 1] ** 2)
    )
    assert whole.returns[week, symbol] == pytest.approx(np.log(close[row + 5] / close[row]))
    realised = 0.5 * np.log(np.mean(returns[row + 1 : row + 6] ** 2))
    ranges = 0.5 * np.log(np.mean(ranged[row : row + 5]))
    assert whole.volatility[week, symbol] == pytest.approx((realised + ranges) / 2)


def test_weighted_and_highest_agree_with_loops() -> None:
    chance = np.random.default_rng(3)
    values = chance.normal(size=(80, 3))
    values[chance.random(values.shape) < 0.2] = np.nan
    at = np.array([0, 7, 40, 79])
    highest = windows.highest(values, 22, at)
    weighted = windows.weighted(values, 8.0)
    for place, row in enumerate(at):
        for column in range(3):
            past = values[: row + 1, column]
            window = past[-22:]
            known = window[np.isfinite(window)]
            assert highest[place, column] == (known.max() if len(known) else -np.inf)
            weight = 0.5 ** (np.arange(len(past))[::-1] / 8.0)
            ok = np.isfinite(past)
            if ok.any():
                wanted = (past[ok] * weight[ok]).sum() / weight[ok].sum()
                assert weighted[row, column] == pytest.approx(wanted)


def test_an_instrument_is_forecast_once_it_has_a_year(whole: Weekly) -> None:
    late = whole.symbols.index("s3")
    first = int(np.flatnonzero(whole.usable[:, late])[0])
    assert 300 + 225 <= whole.at[first] <= 300 + 255
    assert np.isnan(whole.returns[:first, late]).all()


def test_a_bar_that_is_missing_leaves_no_forecast_and_breaks_no_feature() -> None:
    bars = Bars.from_frame(PANEL)
    row = int(bars.origins()[150])
    day = bars.sessions[row].astype(object)
    panel = weekly_panel(
        Bars.from_frame(PANEL.filter((pl.col("symbol") != "s1") | (pl.col("date") != day)))
    )
    assert not panel.usable[150, 1]
    assert panel.usable[151, 1]
    assert np.isfinite(panel.x).all()
    assert np.isfinite(panel.ranks).all()


def test_without_ranges_and_volume_every_feature_is_known() -> None:
    bare = PANEL.with_columns(
        *(pl.lit(None, pl.Float64).alias(n) for n in ("open", "high", "low", "volume", "adj_close"))
    )
    panel = weekly_panel(Bars.from_frame(bare))
    assert np.isfinite(panel.x).all()
    assert panel.usable.any()


def test_ranks_are_even_and_unknown_stays_unknown() -> None:
    ranks = cross_rank(np.array([[3.0, np.nan, 1.0, 2.0, 4.0]]))
    assert np.allclose(ranks, [[0.125, np.nan, -0.375, -0.125, 0.375]], equal_nan=True)


def test_chunks_do_not_show(whole: Weekly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "TOGETHER", 3)
    assert differences(whole, weekly_panel(Bars.from_frame(PANEL))) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (PANEL.drop("high"), "the panel lacks high"),
        (pl.concat([PANEL, PANEL[:1]]), "two rows of s0 on 2008-01-02"),
        (PANEL[:0], "no row with a positive close"),
    ],
)
def test_a_panel_that_cannot_be_used_is_told(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(PlatformError, match=message):
        Bars.from_frame(frame)


def test_the_dividend_is_part_of_the_return_and_no_part_of_the_price() -> None:
    frame = PANEL.filter(pl.col("symbol") == "s0").sort("date")
    paid = frame.with_row_index().with_columns(
        adj_close=pl.when(pl.col("index") < 100)
        .then(pl.col("adj_close") * 0.98)
        .otherwise(pl.col("adj_close"))
    )
    plain, dividend = (Daily.of(Bars.from_frame(f)) for f in (frame, paid))
    extra = dividend.returns - plain.returns
    assert extra[100, 0] == pytest.approx(-np.log(0.98))
    assert np.nanmax(np.abs(np.delete(extra, 100))) < 1e-12
    assert dividend.overnight[100, 0] - plain.overnight[100, 0] == pytest.approx(-np.log(0.98))
