"""Scores of fct_forecast_accuracy and the agg_accuracy* against the same formulas in numpy."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from stock_platform.ml.ledger import FORECASTS
from tests.support.dbt_project import Project

LEVELS = np.arange(0.05, 0.951, 0.05)
QUANTILES = ["q025", *(f"q{p:02d}" for p in range(5, 100, 5)), "q975"]
ORIGIN, TARGET = date(2012, 6, 1), date(2012, 6, 8)


def forecast(scale: float, role: str, **other: object) -> dict[str, object]:
    levels = np.concatenate([[0.025], LEVELS, [0.975]])
    quantiles = 560.99 * np.exp(scale * (levels - 0.5))
    return {
        **{name: "" for name, kind in FORECASTS.items() if "String" in kind},
        "forecast_id": f"{role}{scale}{sorted(other.items())}",
        "issued_at": datetime(2026, 1, 1, tzinfo=UTC),
        "kind": "backtest",
        "backtest_name": "sample",
        "source": "sample",
        "instrument_id": "XNAS:AAPL",
        "symbol": "AAPL",
        "origin_session": ORIGIN,
        "target_session": TARGET,
        "horizon": 5,
        "model_name": "ewma" if role == "champion" else "random_walk",
        "role": role,
        "model_version": 1,
        "as_of": datetime(2012, 6, 2, tzinfo=UTC),
        "as_of_clock": "available_at",
        "currency": "USD",
        "origin_price": 560.99,
        **dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
        "mean": 561.0,
        "p_up": 0.5,
    } | other


def pinball(row: dict[str, object], actual: float) -> float:
    quantiles = np.array([row[name] for name in QUANTILES[1:-1]])
    miss = actual - quantiles
    return float(np.mean(np.maximum(LEVELS * miss, (LEVELS - 1) * miss)) / row["origin_price"])


def score(project: Project, rows: list[dict[str, object]]) -> None:
    names = list(FORECASTS)
    project.client.insert("forecasts", [[r[n] for n in names] for r in rows], column_names=names)
    models = "dim_instrument int_daily_prices path:models/marts/accuracy"
    bad = project.dbt("build", "--select", *models.split(), "--exclude", "test_type:unit")[1]
    assert bad == {}


def test_scores_agree_with_numpy(on_sample: Project) -> None:
    champion, walk = forecast(0.1, "champion"), forecast(0.2, "baseline")
    week = timedelta(days=7)
    later = {"origin_session": ORIGIN + week, "target_session": TARGET + week}
    pending = {"origin_session": date(2013, 3, 1), "target_session": date(2013, 3, 8)}
    rows = [champion, walk]
    rows += [forecast(0.1, "champion", **later), forecast(0.2, "baseline", **later)]
    rows += [forecast(0.1, "champion", **pending), forecast(0.2, "baseline", **pending)]
    other = {"backtest_name": "another"}
    rows += [forecast(0.3, "champion", **other), forecast(0.2, "baseline", **other)]
    score(on_sample, rows)

    actual = dict(
        on_sample.rows("SELECT session, close FROM stg_equity_prices WHERE symbol = 'AAPL'")
    )
    found = on_sample.rows(
        "SELECT actual, actual_first_known, error, absolute_percentage_error, pinball_loss,"
        " baseline_pinball_loss, skill, is_inside_50, is_inside_95 FROM fct_forecast_accuracy"
        f" WHERE backtest_name = 'sample' AND origin_session = '{ORIGIN}'"
    )
    price = actual[TARGET]
    error = champion["q50"] - price
    ours, theirs = pinball(champion, price), pinball(walk, price)
    assert len(found) == 1
    expected = (price, price, error, 100 * abs(error) / price, ours, theirs, 1 - ours / theirs)
    assert found[0][:7] == pytest.approx(expected, rel=1e-9)
    assert found[0][7:] == (
        champion["q25"] <= price <= champion["q75"],
        champion["q025"] <= price <= champion["q975"],
    )

    prices = [actual[TARGET], actual[TARGET + week]]
    errors = [champion["q50"] - p for p in prices]
    losses = [sum(pinball(row, p) for p in prices) for row in (champion, walk)]
    summary = on_sample.rows(
        "SELECT forecasts, mae, rmse, skill FROM agg_accuracy WHERE backtest_name = 'sample'"
    )
    expected = (2, np.mean(np.abs(errors)), np.sqrt(np.mean(np.square(errors))))
    assert summary == [pytest.approx((*expected, 1 - losses[0] / losses[1]), rel=1e-9)]
    names = on_sample.rows("SELECT backtest_name, forecasts FROM agg_accuracy ORDER BY ALL")
    assert names == [("another", 1), ("sample", 2)]

    mape, bias = 100 * np.mean(np.abs(errors) / prices), 100 * np.mean(np.divide(errors, prices))
    brier = np.mean([(0.5 - (p > 560.99)) ** 2 for p in prices])
    expected = (2, mape, bias, brier, 1 - losses[0] / losses[1])
    for by in ("model", "instrument", "horizon"):
        found = on_sample.rows(
            f"SELECT forecasts, mape, bias, brier_score, skill FROM agg_accuracy_by_{by}"
            " WHERE backtest_name = 'sample'"
        )
        assert found == [pytest.approx(expected, rel=1e-9)], by
    by_week = on_sample.rows(
        "SELECT week, instruments, forecasts, mape FROM agg_accuracy_by_week"
        " WHERE backtest_name = 'sample' ORDER BY week"
    )
    assert by_week == [
        (date(2012, 5, 28), 1, 1, pytest.approx(100 * abs(errors[0]) / prices[0], rel=1e-9)),
        (date(2012, 6, 4), 1, 1, pytest.approx(100 * abs(errors[1]) / prices[1], rel=1e-9)),
    ]


def test_a_week_issued_again_counts_once_in_each_backtest(on_sample: Project) -> None:
    """By another champion: the first row counts; by other code: that is another backtest."""
    week = timedelta(days=7)
    later = {"origin_session": ORIGIN + week, "target_session": TARGET + week}
    issued = {"issued_at": datetime(2026, 1, 2, tzinfo=UTC)}
    rows = [forecast(0.1, "champion"), forecast(0.2, "baseline")]
    rows += [forecast(0.3, "champion", model_name="linear", model_digest="l", **issued)]
    for when in ({}, later):
        other = {"backtest_name": "sample-2", "code_digest": "2", **issued, **when}
        rows += [forecast(0.4, "champion", **other), forecast(0.5, "baseline", **other)]
    score(on_sample, rows[::-1])

    counted = on_sample.rows(
        "SELECT backtest_name, origin_session, model_name, pinball_loss, baseline_pinball_loss"
        " FROM fct_forecast_accuracy ORDER BY ALL"
    )
    prices = dict(
        on_sample.rows("SELECT session, close FROM stg_equity_prices WHERE symbol = 'AAPL'")
    )
    expected = [
        ("sample", ORIGIN, "ewma", *(pinball(row, prices[TARGET]) for row in rows[:2])),
        *(
            ("sample-2", day, "ewma", *(pinball(row, prices[day + week]) for row in pair))
            for day, pair in ((ORIGIN, rows[3:5]), (ORIGIN + week, rows[5:]))
        ),
    ]
    assert [row[:3] for row in counted] == [row[:3] for row in expected]
    for found, wanted in zip(counted, expected, strict=True):
        assert found[3:] == pytest.approx(wanted[3:], rel=1e-9)
    totals = on_sample.rows("SELECT backtest_name, forecasts FROM agg_accuracy ORDER BY ALL")
    assert totals == [("sample", 1), ("sample-2", 2)]


def test_a_champion_without_a_baseline_is_noticed(on_sample: Project) -> None:
    names = list(FORECASTS)
    row = forecast(0.1, "champion")
    on_sample.client.insert("forecasts", [[row[n] for n in names]], column_names=names)
    models = "dim_instrument int_daily_prices fct_forecast_accuracy"
    bad = on_sample.dbt("build", "--select", models, "--exclude", "test_type:unit")[1]
    assert {"every_champion_forecast_has_a_baseline", "every_matured_forecast_is_scored"} <= set(
        bad
    )
