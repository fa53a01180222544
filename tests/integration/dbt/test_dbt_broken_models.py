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


@pytest.mark.parametrize("broken", BREAKS)
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
