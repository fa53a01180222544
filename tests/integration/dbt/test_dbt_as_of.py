"""Marts as known at a moment: equal to those built at it, and why they differ from the present.

The oracle is the platform's own past: a small lake grows load by load, the marts of a moment are
kept, and later built again as of it into a database beside. Other moments, and the other clock, are
in `test_dbt_as_of_moments.py`; `stock-platform diff` itself in `test_dbt_diff_command.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stock_platform.settings import Settings
from stock_platform.warehouse import beside, diff, diff_rows
from stock_platform.warehouse.manifest import mart
from tests.integration.dbt.conftest import empty_project
from tests.support import bitemporal
from tests.support.bitemporal import at
from tests.support.dbt_project import Project
from tests.support.marts import LAST, THEN, build_as_of, differing, grow_through, kept

MOMENT = at(2, 6, 6)


@pytest.fixture(scope="module")
def grown(warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Grown to LAST; the marts of MOMENT kept, and built as of it in THEN."""
    with empty_project(warehouse, tmp_path_factory.getbasetemp()) as project:
        project.variables["DBT_SOURCE"] = bitemporal.SOURCE
        grow_through(project, [MOMENT, LAST])
        build_as_of(project, MOMENT, "known_at")
        yield project


def test_marts_as_of_a_moment_are_those_of_the_moment(grown: Project) -> None:
    assert differing(grown, kept(MOMENT)) == {}
    assert grown.value(f"SELECT count() FROM {THEN}.int_daily_prices") == 303
    assert grown.value(f"SELECT count() FROM {THEN}.fct_forecast_accuracy") == 2


BARS = {
    "new session": 12,
    "instrument added": 9,  # D, of which there was a provisional bar only, and E
    "late bar": 2,
    "provisional to final": 1,
}
REASONS: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    # mart: rows that are new, rows that changed
    "int_daily_prices": (BARS, {"split": 12, "dividend": 10, "late bar": 8, "revision": 4}),
    "fct_daily_prices": (BARS, {"split": 291, "dividend": 10, "revision": 1}),
    "fct_forecast_accuracy": ({"new session": 2, "new forecast": 1}, {"split": 1}),
    "agg_accuracy": ({"new session": 2}, {"new session": 2}),
    "fct_fx_rates": ({"new session": 5, "late bar": 1}, {"revision": 2, "late bar": 1}),
    "fct_metal_prices": ({"new session": 5, "late bar": 1}, {"revision": 2, "late bar": 1}),
    "fct_weekly_prices": (
        {"instrument added": 3, "new session": 2},
        {"split": 58, "new session": 3, "dividend": 2, "late bar": 2},
    ),
    "agg_gold_monthly": ({}, {"new session": 1, "revision": 1}),
    "fct_price_revisions": ({"revision": 4}, {"split": 1}),
    "dim_instrument": ({"instrument added": 1}, {"other": 1}),
    "dim_session": ({}, {}),
}


def compared(project: Project, name: str, left: str, right: str, **more: Any) -> diff.Difference:
    states = [
        beside.State(database, MOMENT if database == THEN else None, "known_at")
        for database in (left, right)
    ]
    return diff.compare(project.client, mart(name), *states, source=bitemporal.SOURCE, **more)


@pytest.mark.parametrize("name", REASONS)
def test_every_row_that_differs_has_its_reason(grown: Project, name: str) -> None:
    added, changed = REASONS[name]
    found = compared(grown, name, THEN, "unit")
    assert found.reasons == {"only_left": {}, "only_right": added, "changed": changed}
    assert found.rows_right - found.rows_left == sum(added.values())
    assert found.same == (name == "dim_session")

    back = compared(grown, name, "unit", THEN)
    left = {why.replace("added", "left"): rows for why, rows in added.items()}
    assert back.reasons == {"only_left": left, "only_right": {}, "changed": changed}


def test_a_row_may_change_because_of_another_instrument(grown: Project) -> None:
    """C's features of 4 February read all instruments of the session, and A's and B's changed."""
    found = compared(grown, "fct_features_daily", THEN, "unit", limit=100)
    assert set(found.reasons["changed"]) == {"split", "dividend", "late bar", "revision"}
    (of_c,) = [
        one for one in found.examples if one["key"]["instrument_id"] == "C" and one["changes"]
    ]
    assert (of_c["reason"], of_c["key"]["session"]) == ("dividend", "2020-02-04")


def test_changes_are_measured_and_shown(grown: Project) -> None:
    found = compared(grown, "fct_fx_rates", THEN, "unit")
    (rate,) = [one for one in found.columns if one.name == "rate"]
    (example,) = [one for one in found.examples if "rate" in one["changes"]]
    before, after = map(float, example["changes"]["rate"])
    assert list(example["key"].values()) == [bitemporal.SOURCE, "CBR:USD", "2020-01-16"]
    assert rate.rows == 1
    assert rate.largest_change == pytest.approx(before - after)
    assert rate.largest_relative_change == pytest.approx(1 - after / before)


def test_what_the_data_does_not_explain_is_the_code(grown: Project) -> None:
    """NULL and NaN are values too: equal to themselves, different from others."""
    create = "CREATE OR REPLACE TABLE unit_code.{} ENGINE = MergeTree ORDER BY tuple() AS {}"
    grown.client.command("CREATE DATABASE unit_code")
    for name in ("int_daily_prices", "fct_daily_prices"):
        grown.client.command(create.format(name, f"SELECT * FROM unit.{name}"))
    assert compared(grown, "fct_daily_prices", "unit_code", "unit").same
    other = (
        "SELECT * EXCEPT symbol REPLACE ("
        " multiIf(session = '2020-01-03', NULL, session = '2020-01-06', nan, log_return)"
        " AS log_return), 1 AS more FROM unit.fct_daily_prices WHERE session != '2020-01-08'"
    )
    grown.client.command(create.format("fct_daily_prices", other))
    found = compared(grown, "fct_daily_prices", "unit_code", "unit")
    assert found.reasons == {"only_left": {}, "only_right": {"code": 2}, "changed": {"code": 4}}
    assert [(one.name, one.rows) for one in found.columns] == [("log_return", 4)]
    assert (found.columns_only_left, found.columns_only_right) == (["more"], ["symbol"])
    assert compared(grown, "fct_daily_prices", "unit_code", "unit_code").same


def test_pieces_give_what_the_whole_gives(grown: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compared(grown, "fct_daily_prices", THEN, "unit", limit=1000)
    monkeypatch.setattr(diff_rows, "PIECE_ROWS", 30)
    steps: list[tuple[int, int]] = []

    def note(step: str, done: int, total: int) -> None:
        steps.append((done, total))

    assert compared(grown, "fct_daily_prices", THEN, "unit", limit=1000, progress=note) == whole
    assert len(steps) > 3
    assert (whole.rows_left + whole.rows_right,) * 2 in steps
