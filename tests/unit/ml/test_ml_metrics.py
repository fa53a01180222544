"""Scores against hand-computed values and known properties."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_platform.ml.metrics import (
    coverage,
    diebold_mariano,
    newey_west_t,
    pinball,
    score,
    weekly_means,
)
from stock_platform.ml.quantiles import (
    COLUMN_NAMES,
    GAUSSIAN,
    PROBABILITIES,
    mean_ratio,
    probability_of_rise,
)


def test_pinball_by_hand():
    quantiles = np.zeros((1, 21))
    # Against 19 quantiles at 0 an outcome of 1 costs the mean of the probabilities, 0.5.
    assert pinball(np.array([1.0]), quantiles)[0] == pytest.approx(0.5)
    assert pinball(np.array([-1.0]), quantiles)[0] == pytest.approx(0.5)
    one = quantiles.copy()
    one[0, 1:6] = -2.0  # 5, 10, 15, 20, 25 % quantiles
    by_hand = sum(p * 3 for p in PROBABILITIES[1:6]) + sum(PROBABILITIES[6:20])
    assert pinball(np.array([1.0]), one)[0] == pytest.approx(by_hand / 19)


def test_pinball_is_least_at_the_true_scale():
    draws = np.random.default_rng(3).standard_normal(40_000)
    losses = [
        pinball(draws, np.tile(scale * GAUSSIAN, (len(draws), 1))).mean()
        for scale in (0.8, 1.0, 1.25)
    ]
    assert min(losses) == losses[1]


def test_newey_west_by_hand():
    series = np.array([1.0, 2, -1, 3, 0, 2, 1, -2, 2, 1])
    centred, n = series - series.mean(), 10
    lags = int(4 * (n / 100) ** (2 / 9))
    assert lags == 2
    variance = centred @ centred / n
    variance += 2 * (2 / 3) * (centred[1:] @ centred[:-1]) / n
    variance += 2 * (1 / 3) * (centred[2:] @ centred[:-2]) / n
    assert newey_west_t(series) == pytest.approx(series.mean() / math.sqrt(variance / n))
    assert math.isnan(newey_west_t(np.ones(7)))
    assert newey_west_t(np.zeros(20)) == 0


def test_positive_autocorrelation_lowers_t():
    noise = np.random.default_rng(1).standard_normal(400)
    slow = np.convolve(noise, np.ones(4) / 2, "valid") + 0.2
    naive = slow.mean() / (slow.std() / math.sqrt(len(slow)))
    assert newey_west_t(slow) < 0.7 * naive


def test_diebold_mariano_sides():
    noise = np.random.default_rng(2).standard_normal(200)
    statistic, p_value = diebold_mariano(noise, noise + 0.1 + 0.3 * noise[::-1])
    assert statistic > 2
    assert p_value < 0.05
    assert diebold_mariano(noise, noise) == (0.0, 0.5)


def test_coverage_and_weekly_means():
    quantiles = np.tile(GAUSSIAN, (3, 1))
    assert coverage(np.array([0.0, 1.0, 3.0]), quantiles, 50) == pytest.approx(1 / 3)
    assert coverage(np.array([0.0, 1.0, 3.0]), quantiles, 80) == pytest.approx(2 / 3)
    weeks = np.array(["2020-01-06", "2020-01-06", "2020-01-13"], dtype="datetime64[D]")
    np.testing.assert_allclose(weekly_means(np.array([1.0, 3, 5]), weeks), [2, 5])


def test_rise_and_mean_of_a_gaussian():
    quantiles = 0.01 + 0.04 * GAUSSIAN
    assert probability_of_rise(quantiles) == pytest.approx(0.5987, abs=0.002)
    assert mean_ratio(quantiles) == pytest.approx(math.exp(0.01 + 0.04**2 / 2), abs=1e-4)
    assert probability_of_rise(0.04 * GAUSSIAN) == pytest.approx(0.5)
    assert probability_of_rise(GAUSSIAN + 9) == pytest.approx(0.975)
    assert probability_of_rise(GAUSSIAN - 9) == pytest.approx(0.025)


def frame_of(actual: np.ndarray, scale: float) -> pl.DataFrame:
    n = len(actual)
    quantiles = np.tile(scale * GAUSSIAN, (n, 1))
    return pl.DataFrame(quantiles, schema=COLUMN_NAMES).with_columns(
        week=pl.Series([date(2015, 1, 5) + timedelta(weeks=i // 4) for i in range(n)]),
        actual=pl.Series(actual),
        mean=pl.Series(mean_ratio(quantiles)),
        p_up=pl.Series(probability_of_rise(quantiles)),
    )


def test_r2_is_of_returns_and_skill_against_itself_is_zero():
    actual = 0.04 * np.random.default_rng(4).standard_normal(800)
    rows = frame_of(actual, 0.04)
    own = score(rows, rows)
    assert own["skill"] == 0
    assert own["skill_t"] == 0
    assert abs(own["r2_returns"]) < 0.01  # on price levels a random walk scores .99
    assert own["mae_over_random_walk"] == 1
    assert own["weeks"] == 200
    better = score(rows, frame_of(actual, 0.08))
    assert better["skill"] > 0.05
    assert better["skill_t"] > 3
    assert 0.77 < better["coverage_80"] < 0.83
