"""The walk forward over a panel: out of sample, repeatable, calibrated, and honest about skill."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import BASELINE, INITIAL_CHAMPION
from stock_platform.ml.quantiles import COLUMN_NAMES, GAUSSIAN
from stock_platform.ml.weekly import backtest as engine
from stock_platform.ml.weekly import calibration, ranking, selection
from stock_platform.ml.weekly.backtest import (
    CHAMPION,
    Backtest,
    Forecast,
    backtest,
    refit_calendar,
    table,
)
from stock_platform.ml.weekly.bars import Bars
from stock_platform.ml.weekly.features import Weekly, weekly_panel
from stock_platform.ml.weekly.models import Ewma, RandomWalk, Regression
from stock_platform.ml.weekly.quintiles import quintile_probabilities
from stock_platform.ml.weekly.report import report
from tests.support.weekly import waves

PANEL = waves(symbols=25, years=9)
FROM, TO = date(2013, 1, 1), date(2016, 12, 31)


@pytest.fixture(scope="module")
def walked() -> Backtest:
    return backtest(Bars.from_frame(PANEL), FROM, TO)


@pytest.fixture(scope="module")
def rows(walked: Backtest) -> pl.DataFrame:
    return table(walked)


def test_every_instrument_and_week_has_a_row(rows: pl.DataFrame) -> None:
    sessions = PANEL["date"].unique().sort()
    weeks = sessions.to_frame().group_by(pl.col("date").dt.truncate("1w")).agg(
        origin=pl.col("date").max()
    )  # fmt: skip
    known = pl.col("origin") < sessions[-5]  # the target lies inside the panel
    wanted = weeks.filter(pl.col("origin").is_between(FROM, TO), known)["origin"].sort()
    assert rows["origin"].unique().sort().equals(wanted)
    assert rows.height == 25 * len(wanted)
    place = dict(zip(sessions, range(len(sessions)), strict=True))
    for origin, target in rows.select("origin", "target").unique().iter_rows():
        assert place[target] == place[origin] + 5
    closes = PANEL.select("symbol", origin="date", close="close")
    assert rows.join(closes, on=["symbol", "origin"]).filter(
        pl.col("close") != pl.col("origin_price")
    ).is_empty()  # fmt: skip
    quantiles = rows.select(COLUMN_NAMES).to_numpy()
    assert (np.diff(quantiles, axis=1) > 0).all()
    fifths = rows.select(f"p_quintile_{n}" for n in range(1, 6)).to_numpy()
    assert np.allclose(fifths.sum(axis=1), 1)
    assert rows["p_up"].is_between(0.025, 0.975).all()


def test_waves_of_volatility_are_forecast_and_intervals_mean_what_they_say(
    walked: Backtest,
) -> None:
    found = report(walked).models.rows_by_key("model", named=True, unique=True)
    assert found[BASELINE]["skill"] == 0
    assert found[CHAMPION]["skill"] > 0.02
    assert found[CHAMPION]["skill_t"] > 3
    assert found["stack"]["skill"] > found[INITIAL_CHAMPION]["skill"] + 0.02
    assert 0.77 < found[CHAMPION]["coverage_80"] < 0.83
    assert 0.935 < found[CHAMPION]["coverage_95"] < 0.965
    assert 0.99 <= found[CHAMPION]["mae_over_random_walk"] <= 1.01
    for third in ("low", "middle", "high"):
        assert 0.75 < found[CHAMPION][f"coverage_80_{third}_volatility"] < 0.85


def test_a_shorter_panel_and_a_single_week_give_the_same_forecasts(rows: pl.DataFrame) -> None:
    until = date(2015, 6, 30)
    short = PANEL.filter(pl.col("date") <= until)
    again = table(backtest(Bars.from_frame(short), FROM, TO))
    both = rows.filter(pl.col("origin").is_in(again["origin"].unique().implode()))
    assert again["origin"].max() > date(2015, 6, 15)
    for name in rows.columns:
        if rows[name].dtype == pl.Float64:
            assert np.allclose(both[name], again[name], rtol=1e-9), name
    one = table(backtest(Bars.from_frame(PANEL), date(2014, 5, 5), date(2014, 5, 9)))
    assert one.equals(rows.filter(pl.col("origin") == date(2014, 5, 9)))


def test_what_follows_an_origin_changes_none_of_its_forecasts(rows: pl.DataFrame) -> None:
    origin = date(2014, 5, 9)
    later = pl.col("date") > origin
    wild = PANEL.with_columns(
        *(
            pl.when(later).then(pl.col(name) * (1 + 3 * (pl.col("volume") % 2))).otherwise(
                pl.col(name)
            ).alias(name)
            for name in ("open", "high", "low", "close", "adj_close")
        )
    )  # fmt: skip
    ours = table(backtest(Bars.from_frame(wild), date(2014, 4, 1), origin))
    assert ours.equals(rows.filter(pl.col("origin").is_between(date(2014, 4, 1), origin)))


@pytest.mark.parametrize("embargo", ["none", "negative"])
def test_an_embargo_that_is_too_short_is_noticed(
    rows: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, embargo: str
) -> None:
    """Training or calibrating on a target that is not over yet sees what follows the origin."""
    weeks = {"none": 1, "negative": 2}[embargo]
    monkeypatch.setattr(Weekly, "matured", lambda self, week: min(week + weeks, self.weeks))
    with pytest.raises(AssertionError):
        test_what_follows_an_origin_changes_none_of_its_forecasts(rows)


def test_intervals_rest_on_the_models_own_errors(
    walked: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scale that is twice too wide gives the same quantiles; without calibration, it does not."""
    weekly = walked.weekly
    right = walked.forecasts["stack"]
    week = int(walked.weeks[-1])
    instruments = np.arange(3)
    wide = calibration.weekly_shapes(weekly, 2 * right.scale, 0)
    assert np.allclose(
        Forecast(2 * right.scale, wide).quantiles(week, instruments),
        right.quantiles(week, instruments),
        rtol=0.02,
        atol=2e-4,
    )
    uncalibrated = np.tile(GAUSSIAN, (weekly.weeks, 1))
    monkeypatch.setattr(engine, "weekly_shapes", lambda *_: uncalibrated)
    models = [RandomWalk(), _Wide()]
    broken = report(backtest(Bars.from_frame(PANEL), FROM, TO, models=models)).models
    coverage = dict(zip(broken["model"], broken["coverage_80"], strict=True))
    assert coverage["wide"] > 0.9


class _Wide(Ewma):
    name = "wide"

    def scales(self, weekly, refits, progress):
        return 2 * super().scales(weekly, refits, progress)


def test_the_size_of_errors_follows_within_a_year() -> None:
    weekly = weekly_panel(Bars.from_frame(PANEL))
    scale = np.sqrt(5 * weekly.year_variance)
    changed = scale.copy()
    changed[300:] /= 3  # from here on every error is three times as large
    before = calibration.weekly_shapes(weekly, changed, 0)[300]
    after = calibration.weekly_shapes(weekly, changed, 0)[300 + 60]
    assert after[2] / before[2] > 2


def test_the_choice_is_the_gates() -> None:
    weekly = weekly_panel(Bars.from_frame(PANEL))
    chance = np.random.default_rng(5)
    base = 1 + 0.05 * chance.normal(size=weekly.weeks)
    noise = 0.01 * chance.normal(size=weekly.weeks)
    refits = list(range(60, weekly.weeks, 26))

    def last(**losses: np.ndarray) -> selection.Decision:
        return selection.decide(weekly, losses, refits)[-1]

    better = base * 0.97 + noise
    assert last(**{BASELINE: base, INITIAL_CHAMPION: base, "new": better}).champion == "new"
    alike = base + noise
    assert last(**{BASELINE: base, INITIAL_CHAMPION: base, "new": alike}).champion != "new"
    # better than the champion, worse than the random walk: refused.
    poor = {BASELINE: base, INITIAL_CHAMPION: base * 1.1, "new": base * 1.05 + noise}
    assert last(**poor).champion == INITIAL_CHAMPION
    # what matures later than the refit decides nothing.
    hidden = better.copy()
    hidden[: weekly.matured(refits[-1])] = base[: weekly.matured(refits[-1])] + 0.01
    assert last(**{BASELINE: base, INITIAL_CHAMPION: base, "new": hidden}).champion != "new"


def test_fewer_weeks_than_the_gate_needs_change_no_champion(walked: Backtest) -> None:
    early = [d for d in walked.decisions if d.week < 120]
    assert {d.champion for d in early} <= {INITIAL_CHAMPION}
    assert walked.decisions[-1].champion in ("har", "stack")


def test_too_few_instruments_are_not_ranked() -> None:
    found = backtest(Bars.from_frame(waves(symbols=2, years=7)), date(2013, 1, 1), TO)
    assert report(found).ranking is None
    assert table(found)["rank_score"].unique().to_list() == [0.0]


def test_a_wide_distribution_ends_in_the_outer_fifths(walked: Backtest) -> None:
    weekly = walked.weekly
    week = int(walked.weeks[-1])
    scale = walked.forecasts["stack"].scale
    found = quintile_probabilities(weekly, scale, walked.scores)[week]
    widest, narrowest = np.nanargmax(scale[week]), np.nanargmin(scale[week])
    assert found[widest, [0, 4]].sum() > 0.4 > found[narrowest, [0, 4]].sum()


def test_a_range_without_forecasts_is_told() -> None:
    with pytest.raises(PlatformError, match=r"nothing can be forecast .* the panel has 2008-01-02"):
        backtest(Bars.from_frame(PANEL), date(2008, 1, 1), date(2008, 12, 31))


def test_a_regression_with_few_rows_sits_out() -> None:
    weekly = weekly_panel(Bars.from_frame(waves(symbols=1, years=5)))
    refits = engine.refit_calendar(weekly, 26)
    scale = Regression("stack").scales(weekly, refits, lambda *_: None)
    assert np.isnan(scale).all()


def test_ranking_of_a_week_does_not_know_the_weeks_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "ROWS", 500)
    frame = waves(25, 5)
    cut = frame["date"].unique().sort()[-60]
    scores = []
    for panel in (frame, frame.filter(pl.col("date") <= cut)):
        weekly = weekly_panel(Bars.from_frame(panel))
        scores.append(ranking.rank_scores(weekly, refit_calendar(weekly, 26), lambda *_: None))
    weeks = len(scores[1]) - 1
    assert np.isfinite(scores[1][:weeks]).sum() > 500
    np.testing.assert_array_equal(scores[0][:weeks], scores[1][:weeks])


def test_a_panel_too_short_to_begin_with_is_told() -> None:
    frame = waves(5, 1)
    with pytest.raises(PlatformError, match="nothing can be forecast"):
        backtest(Bars.from_frame(frame), date(2008, 1, 1), date(2009, 1, 1))
