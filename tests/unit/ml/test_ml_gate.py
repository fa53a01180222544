"""The promotion rule, and who is champion when."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml import ledger
from stock_platform.ml.champion import ModelRef, champion_in, previous_champion, promotion_row
from stock_platform.ml.gate import common_rows, decide
from stock_platform.ml.quantiles import COLUMN_NAMES, GAUSSIAN, mean_ratio, probability_of_rise

AS_OF = date(2016, 1, 3)
SCALES = {"random_walk": 0.055, "random_walk_calibrated": 0.053, "ewma": 0.06, "linear": 0.04}


def rows(scales: dict[str, float], weeks: int = 150) -> pl.DataFrame:
    """Walk-forward rows of two instruments with true scale 0.04."""
    actual = 0.04 * np.random.default_rng(7).standard_normal(2 * weeks)
    first = AS_OF - timedelta(weeks=weeks + 1, days=6)
    frames = []
    for name, scale in scales.items():
        quantiles = np.tile(scale * GAUSSIAN, (2 * weeks, 1))
        keys = pl.DataFrame(
            {
                "week": [first + timedelta(weeks=i // 2) for i in range(2 * weeks)],
                "instrument_id": ["A", "B"] * weeks,
            }
        ).with_columns(
            origin_session=pl.col("week") + timedelta(days=4),
            target_session=pl.col("week") + timedelta(days=11),
            horizon=pl.lit(5, pl.UInt8),
            candidate=pl.lit(name),
            actual=pl.Series(actual),
            mean=pl.Series(mean_ratio(quantiles)),
            p_up=pl.Series(probability_of_rise(quantiles)),
        )
        frames.append(keys.hstack(pl.DataFrame(quantiles, schema=COLUMN_NAMES)))
    return pl.concat(frames)


def test_promotes_what_beats_champion_and_walk_and_says_by_how_much():
    verdict = decide(rows(SCALES), "random_walk_calibrated", AS_OF)
    assert (verdict.action, verdict.champion) == ("promote", "linear")
    tests = verdict.evidence["against"]
    assert set(tests) == {"random_walk", "random_walk_calibrated"}
    assert all(test["t"] > 1.645 for test in tests.values())
    assert verdict.evidence["weeks"] == 150


def test_refuses_what_beats_the_walk_but_not_the_champion():
    scales = {**SCALES, "ewma": 0.0405}
    verdict = decide(rows(scales), "linear", AS_OF)
    assert (verdict.action, verdict.champion, verdict.challenger) == ("refuse", "linear", "ewma")


def test_refuses_what_beats_the_champion_but_not_the_walk():
    scales = {"random_walk": 0.04, "random_walk_calibrated": 0.07, "linear": 0.041}
    verdict = decide(rows(scales), "random_walk_calibrated", AS_OF)
    assert verdict.action == "refuse"
    assert verdict.champion == "random_walk_calibrated"


def test_first_decision_and_too_few_weeks():
    assert decide(pl.DataFrame(), None, AS_OF).champion == "random_walk_calibrated"
    verdict = decide(rows(SCALES, weeks=103), "random_walk_calibrated", AS_OF)
    assert verdict.action == "refuse"
    assert "103 matured weeks" in verdict.reason


def test_promotion_on_different_windows_is_an_error():
    scored = rows(SCALES)
    shifted = scored.filter(
        (pl.col("candidate") != "linear") | (pl.col("week") > scored["week"].min())
    )
    with pytest.raises(PlatformError, match="scored on different rows"):
        decide(shifted, "random_walk_calibrated", AS_OF)
    assert (
        decide(common_rows(shifted, list(SCALES)), "random_walk_calibrated", AS_OF).evidence[
            "weeks"
        ]
        == 149
    )


def test_outcomes_after_the_decision_are_an_error():
    with pytest.raises(PlatformError, match="leak"):
        decide(rows(SCALES), "random_walk_calibrated", AS_OF - timedelta(weeks=3))


def test_a_champion_that_was_not_scored_stays_and_the_refusal_says_why():
    """An error here would turn the training red in every refit to come."""
    for unscored, why in (
        ({"stack": "80 weeks to train on, 104 needed"}, "80 weeks to train on, 104 needed"),
        ({}, "no such candidate"),
    ):
        verdict = decide(rows(SCALES), "stack", AS_OF, unscored)
        assert (verdict.action, verdict.champion, verdict.challenger) == ("refuse", "stack", "")
        assert verdict.as_fitted
        for said in ("stack could not be scored on these weeks", why, "speaking as it was fitted",
                     "models promote"):  # fmt: skip
            assert said in verdict.reason
        assert verdict.evidence["weeks"] == 150
        assert "linear" in verdict.evidence["candidates"]


def test_without_the_walk_there_is_nothing_to_measure_by():
    scored = rows(SCALES).filter(pl.col("candidate") != "random_walk")
    with pytest.raises(PlatformError, match="no walk-forward rows of random_walk"):
        decide(scored, "random_walk_calibrated", AS_OF)


def moment(day: int, hour: int = 0) -> datetime:
    return datetime(2020, 1, day, hour, tzinfo=UTC)


def decisions(*entries: tuple[int, int, str] | tuple[int, int, str, str]) -> pl.DataFrame:
    """Entries: day of the data, hour decided, champion after, action (`promote` if not given)."""
    return pl.DataFrame(
        [
            promotion_row(
                decided_at=moment(30, hour),
                data_as_of=moment(day),
                source="sample",
                pool="equity",
                action=action[0] if action else "promote",
                model=ModelRef(name, hour, name * 2),
                challenger=ModelRef(),
                previous=ModelRef(),
                actor="test",
                reason="",
                evidence={},
            )
            for day, hour, name, *action in entries
        ]
    )


def test_champion_is_the_last_decision_on_data_available_by_then():
    ledger = decisions((1, 1, "a"), (10, 2, "b"), (20, 3, "c"))
    names = {day: champion_in(ledger, "equity", moment(day)) for day in (1, 9, 10, 19, 20, 30)}
    assert [ref.name for ref in names.values()] == ["a", "a", "b", "b", "c", "c"]
    assert champion_in(ledger, "equity", moment(1) - timedelta(seconds=1)) is None
    assert champion_in(ledger, "metal", moment(30)) is None


def test_filling_in_a_past_week_later_changes_no_later_champion():
    ledger = decisions((10, 1, "b"), (20, 2, "c"), (5, 9, "filled in later"))
    assert champion_in(ledger, "equity", moment(7)).name == "filled in later"
    assert champion_in(ledger, "equity", moment(15)).name == "b"
    assert champion_in(ledger, "equity", moment(25)).name == "c"


def test_that_guard_notices_a_lookup_that_reads_later_decisions():
    ledger = decisions((1, 1, "a"), (20, 3, "c"))
    latest_version = ledger.sort("model_version").row(-1, named=True)["model_name"]
    assert latest_version != champion_in(ledger, "equity", moment(10)).name


def test_same_data_later_decision_wins_and_rollback_finds_the_one_before():
    ledger = decisions((10, 1, "a"), (10, 2, "b"), (10, 3, "b"))
    assert champion_in(ledger, "equity", moment(10)).name == "b"
    assert previous_champion(ledger, "equity").name == "a"


def test_each_rollback_goes_one_champion_further_back_until_there_is_none():
    steps = [(1, 1, "a", "initial"), (2, 2, "b"), (3, 3, "b", "refuse"), (4, 4, "c")]
    for hour, expected in ((5, "b"), (6, "a")):
        back = previous_champion(decisions(*steps), "equity").name
        assert back == expected
        steps.append((4, hour, back, "rollback"))
    with pytest.raises(PlatformError, match="nothing to go back to: a version 1 is its first"):
        previous_champion(decisions(*steps), "equity")
    # What is promoted after a rollback returns to the champion it replaced.
    steps.append((5, 7, "d"))
    assert previous_champion(decisions(*steps), "equity").name == "a"
    with pytest.raises(PlatformError, match="pool 'metal' has no champion yet"):
        previous_champion(decisions(*steps), "metal")


def test_a_champion_that_came_twice_is_gone_back_over_twice():
    steps = [(1, 1, "a"), (2, 2, "b"), (3, 3, "a"), (4, 4, "c")]
    for hour, expected in ((5, "a"), (6, "b"), (7, "a")):
        back = previous_champion(decisions(*steps), "equity").name
        assert back == expected
        steps.append((4, hour, back, "rollback"))
    with pytest.raises(PlatformError, match="nothing to go back to"):
        previous_champion(decisions(*steps), "equity")


FORBIDDEN = re.compile(r"\b(UPDATE|DELETE|TRUNCATE|DROP|REPLACE|EXCHANGE|RENAME|DETACH)\b")


def statements_that_edit(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if FORBIDDEN.search(line):
                found.append(f"{path.name}:{number}: {line.strip()}")
    return found


def test_no_statement_in_ml_can_change_or_remove_a_ledger_row(tmp_path):
    package = Path(ledger.__file__).parent
    assert statements_that_edit(package) == []
    (tmp_path / "planted.py").write_text('client.command("ALTER TABLE forecasts DELETE WHERE 1")')
    assert statements_that_edit(tmp_path)
