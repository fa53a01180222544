"""Models broken on purpose: each break is caught by a dbt test, which is named here."""

import pytest

from tests.support.dbt_project import Project

BREAKS = {
    "a join that duplicates rows": (
        "macros/adjust.sql",
        "ASOF LEFT JOIN (",
        "LEFT JOIN (",
        {"unique_key_int_daily_prices_instrument_id__session"},
    ),
    "a split the wrong way round": (
        "macros/adjust.sql",
        "groupArrayIf(value, action = 'split')",
        "groupArrayIf(1 / value, action = 'split')",
        {"a_split_leaves_no_jump", "every_action_has_its_effect", "splits_leave_no_jump"},
    ),
    "a dropped symbol": (
        "macros/adjust.sql",
        "AND finality = 'final'",
        "AND finality = 'final' AND symbol != 'IBM'",
        {"coverage_accounts_for_every_session"},
    ),
    "provisional bars and late news": (
        "macros/adjust.sql",
        "AND finality = 'final'",
        "",
        {"as_of_sees_what_was_available"},
    ),
    "a session lost in a join": (
        "macros/features.sql",
        "AND prices.session = sessions.session\n",
        "AND prices.session = sessions.session AND toMonth(prices.session) != 7\n",
        {"same_row_count_as_fct_features_daily_ref_int_daily_prices_"},
    ),
}

UNIT_TESTS = {"a_split_leaves_no_jump", "as_of_sees_what_was_available"}


QUICK = {"a join that duplicates rows", "a split the wrong way round"}
"""The others are tried with the slow tests."""


@pytest.mark.parametrize(
    "broken",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BREAKS],
)
def test_a_broken_model_fails_a_test(on_sample: Project, tmp_path, broken: str) -> None:
    file, right, wrong, caught_by = BREAKS[broken]
    project = on_sample.edited(tmp_path / "dbt", file, right, wrong)
    selected = ["dim_instrument", "dim_session", "int_daily_prices"]
    if file == "macros/features.sql":
        selected += ["fct_features_daily"]
    bad = {}
    if caught_by & UNIT_TESTS:  # in a run of their own: a failing one would skip its model
        bad = project.dbt("test", "--select", "int_daily_prices,test_type:unit")[1]
    assert project.dbt("run", "--select", *selected)[1] == {}
    chosen = ["--select", *selected, "--exclude", "test_type:unit", "--indirect-selection", "eager"]
    bad |= project.dbt("test", *chosen)[1]
    assert caught_by <= set(bad), bad


MARKET_BREAKS = {
    "a calendar joined by day, not by week": (
        "models/intermediate/int_weekly_prices.sql",
        "GROUP BY calendar, week\n",
        "GROUP BY calendar, week, session\n",
        {"unique_key_int_weekly_prices_instrument_id__week", "int_weekly_prices_has_every_bar"},
    ),
    "a dropped symbol": (
        "models/marts/market/agg_market_overview.sql",
        "instruments.asset_class = 'equity'",
        "instruments.asset_class = 'equity' AND bars.symbol != 'IBM'",
        {"agg_market_overview_counts_every_bar"},
    ),
    "a high that was still to come": (
        "models/marts/market/agg_volatility.sql",
        "ROWS BETWEEN 249 PRECEDING AND CURRENT ROW",
        "ROWS BETWEEN 249 PRECEDING AND UNBOUNDED FOLLOWING",
        {"a_drawdown_is_from_the_highest_close_so_far"},
    ),
    "an anomaly measured by its own month": (
        "models/marts/market/fct_price_anomalies.sql",
        "RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING",
        "RANGE BETWEEN 12 PRECEDING AND CURRENT ROW",
        {"an_anomaly_is_measured_by_the_twelve_months_before"},
    ),
    "a payment measured in the shares of before a split": (
        "models/marts/prices/fct_corporate_actions.sql",
        "actions.value * actions.day_ratio / previous_close",
        "actions.value / previous_close",
        {"a_payment_is_measured_in_the_shares_it_is_paid_on"},
    ),
}


@pytest.mark.slow
def test_each_broken_market_mart_fails_a_test_of_its_own(on_sample: Project, tmp_path) -> None:
    """Each break is in another model, so one build shows them all."""
    project = on_sample
    for place, (file, right, wrong, _) in enumerate(MARKET_BREAKS.values()):
        project = project.edited(tmp_path / str(place), file, right, wrong)
    broken = [file.rpartition("/")[2].removesuffix(".sql") for file, *_ in MARKET_BREAKS.values()]
    made_of = ["dim_instrument", "dim_session", "int_daily_prices", "fct_features_daily"]
    assert project.dbt("run", "--select", *made_of, *broken)[1] == {}
    bad = set(project.dbt("test", "--select", *broken, "--indirect-selection", "eager")[1])
    caught = {name: caught_by <= bad for name, (*_, caught_by) in MARKET_BREAKS.items()}
    assert caught == dict.fromkeys(MARKET_BREAKS, True), bad
