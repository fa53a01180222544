"""Factors of macros/adjust.sql by hand, where values are rounded and dbt's unit tests are exact."""

import math
from datetime import UTC, date, datetime

import pytest

from tests.support.dbt_project import KNOWN_AT, Project, bar, frame, put


def action(session: date, kind: str, value: float, **other: object) -> dict[str, object]:
    return {
        "instrument_id": "A",
        "symbol": "A",
        "session": session,
        "action": kind,
        "value": value,
        "currency": "USD",
        "source": "unit",
        "finality": "final",
        "known_at": KNOWN_AT,
        "available_at": datetime(session.year, session.month, session.day, 14, 30, tzinfo=UTC),
        "availability": "assumed",
        "payload_digest": f"{session}{kind}{value}",
    } | other


def factors(project: Project) -> dict[date, tuple[float, float, float]]:
    if not project.value("SELECT count() FROM reference_instruments"):
        project.client.command("INSERT INTO reference_instruments (instrument_id) VALUES ('A')")
    models = "stg_equity_prices stg_corporate_actions int_daily_prices"
    assert project.dbt("run", "--select", models)[1] == {}
    rows = project.rows(
        "SELECT session, split_factor, total_return_factor, log_return FROM int_daily_prices"
    )
    return {row[0]: row[1:] for row in rows}


def test_payments_are_reinvested_at_the_previous_close(project: Project) -> None:
    days = [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 6), date(2020, 1, 8)]
    for day, close in zip(days, (50.0, 49.0, 23.5, 23.0), strict=True):
        put(project, frame([bar(day, close=close)]), day)
    actions = [
        action(days[0], "split", 3.0),  # on the first bar: before the anchor
        action(days[0], "dividend", 7.0),
        action(days[1], "dividend", 1.0),
        action(days[2], "split", 2.0),  # with a payment per new share on the same day
        action(days[2], "dividend", 1.0),
        action(date(2020, 1, 7), "capital_gain", 0.5),  # no bar: takes effect on the 8th
        action(date(2020, 1, 7), "dividend", 0.25),
        action(date(2020, 1, 9), "split", 10.0),  # after the last bar
    ]
    for day in sorted({row["session"] for row in actions}):
        rows = [row for row in actions if row["session"] == day]
        put(project, frame(rows, "corporate_actions"), day, dataset="corporate_actions")

    found = factors(project)
    first = 1 / (1 - 1 / 50)
    second = first * 2 / (1 - 1 / (49 / 2))
    third = second / (1 - 0.75 / 23.5)
    expected = dict(zip(days, [(1, 1), (1, first), (2, second), (2, third)], strict=True))
    for day, (split, total) in expected.items():
        assert found[day][:2] == pytest.approx((split, total), rel=1e-12)
    assert found[days[0]][2] is None
    assert found[days[2]][2] == pytest.approx(math.log(2 * 23.5 / 49), rel=1e-12)


def test_a_new_split_rewrites_no_earlier_row(project: Project) -> None:
    days = [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 6)]
    for day in days[:2]:
        put(project, frame([bar(day)]), day)
    old = action(days[1], "dividend", 0.1)
    put(project, frame([old], "corporate_actions"), days[1], dataset="corporate_actions")
    before = factors(project)
    put(project, frame([bar(days[2], close=5.0)]), days[2])
    new = action(days[2], "split", 2.0)
    put(project, frame([new], "corporate_actions"), days[2], dataset="corporate_actions")
    after = factors(project)
    assert {day: after[day] for day in days[:2]} == before
    assert after[days[2]][0] == 2.0
    assert after[days[2]][2] == 0.0

    # A view adjusts to the last session's basis: 10 traded before 2:1 is 5 of today's shares.
    assert project.dbt("run", "--select", "fct_daily_prices")[1] == {}
    adjusted = project.rows(
        "SELECT close_traded, close_adjusted, volume_adjusted, close_total_return"
        " FROM fct_daily_prices ORDER BY session"
    )
    assert [row[:3] for row in adjusted] == [(10, 5, 200), (10, 5, 200), (5, 5, 100)]
    assert [row[3] for row in adjusted] == pytest.approx([5 * 0.99, 5, 5])


def test_a_corrected_action_replaces_the_first(project: Project) -> None:
    days = [date(2020, 1, 2), date(2020, 1, 3)]
    for day, close in zip(days, (90.0, 30.0), strict=True):
        put(project, frame([bar(day, close=close)]), day)
    put(
        project,
        frame([action(days[1], "split", 2.0)], "corporate_actions"),
        days[1],
        dataset="corporate_actions",
    )
    later = action(days[1], "split", 3.0, known_at=datetime(2026, 2, 1, tzinfo=UTC))
    put(
        project,
        frame([later], "corporate_actions"),
        days[1],
        name="rev-20260201T000000000000Z",
        dataset="corporate_actions",
    )
    assert factors(project)[days[1]] == (3.0, 3.0, 0.0)
