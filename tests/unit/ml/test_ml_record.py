"""What the record says of drift: bands by weeks, skill, features; and what is done about it."""

from datetime import date, timedelta

import dagster as dg
import numpy as np
import polars as pl
import pytest

from stock_platform.defs.accuracy.drift import refit_on_drift
from stock_platform.defs.training.model import REFIT_TAG
from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.plots_record import record_plot
from stock_platform.ml.quantiles import PROBABILITIES
from stock_platform.ml.record import (
    BAND,
    COVERAGE_WEEKS,
    Record,
    block_indices,
    coverage_drift,
    finding_table,
    skill_drift,
    stability_index,
    told,
)
from stock_platform.partitions import weekly


def record(
    coverage: np.ndarray, loss: float | np.ndarray = 0.9, base: float | np.ndarray = 1.0
) -> Record:
    count = len(coverage)
    weeks = pl.DataFrame(
        {
            "week": [date(2020, 1, 6) + timedelta(weeks=n) for n in range(count)],
            "forecasts": [300] * count,
            "pinball_loss": np.broadcast_to(loss, count).astype(float),
            "baseline_pinball_loss": np.broadcast_to(base, count).astype(float),
            "coverage_80": coverage,
        }
    )
    return Record(weeks, pl.DataFrame({"level": PROBABILITIES, "share": PROBABILITIES}))


def test_coverage_is_judged_by_weeks_not_by_forecasts() -> None:
    """78 % of 7,800 forecasts would be far outside a band of forecasts; weeks scatter by 8 %."""
    chance = np.random.default_rng(2)
    weekly = np.clip(chance.normal(0, 0.08, COVERAGE_WEEKS), -0.2, 0.2)
    finding = coverage_drift(record(0.78 + weekly - weekly.mean()))
    assert finding.value == pytest.approx(0.78)
    assert finding.holds
    assert finding.high - finding.low == pytest.approx(
        2 * BAND * newey_west_error(weekly - weekly.mean())
    )
    narrow = coverage_drift(record(0.7 + weekly - weekly.mean()))
    assert not narrow.holds
    assert "70.0%" in narrow.text
    wide = coverage_drift(record(0.9 + (weekly - weekly.mean()) / 2))
    assert not wide.holds


def test_only_the_last_weeks_count() -> None:
    weekly = np.tile([0.75, 0.85], 60)
    assert coverage_drift(record(np.append(np.full(100, 0.5), weekly))).holds
    assert not coverage_drift(record(np.append(weekly, np.tile([0.55, 0.65], 13)))).holds


def test_skill_below_zero_is_found() -> None:
    weekly = np.tile([0.75, 0.85], 60)
    assert skill_drift(record(weekly, loss=0.97)).value == pytest.approx(0.03)
    assert skill_drift(record(weekly, loss=0.97)).holds
    losing = np.append(np.full(90, 0.9), np.full(30, 1.3))
    found = skill_drift(record(weekly, loss=losing))
    assert not found.holds
    assert found.value == pytest.approx((22 * 0.1 - 30 * 0.3) / 52)


def test_too_little_is_no_drift() -> None:
    for weeks in (0, 3, 25):
        assert coverage_drift(record(np.full(weeks, 0.2))).holds
        assert skill_drift(record(np.full(weeks, 0.8), loss=2.0)).holds
    assert not skill_drift(record(np.full(26, 0.8), loss=2.0)).holds


def test_the_worst_pool_comes_first() -> None:
    findings = {
        "equity": skill_drift(record(np.full(60, 0.8), loss=0.9)),
        "fx": skill_drift(record(np.full(9, 0.8))),
        "metal": skill_drift(record(np.full(60, 0.8), loss=1.1)),
    }
    assert finding_table(findings)["pool"].to_list() == ["metal", "equity", "fx"]
    assert finding_table(findings)["holds"].to_list() == [False, True, True]
    assert told(findings).startswith("metal: skill -10.00%")
    assert "fx: 9 weeks have matured" in told(findings)
    assert told({}) == "no forecast has matured yet"
    assert finding_table({}).is_empty()


def test_stability_index() -> None:
    chance = np.random.default_rng(1)
    before = chance.normal(size=5000)
    assert stability_index(chance.normal(size=800), before) < 0.05
    assert stability_index(chance.normal(1.0, size=800), before) > 0.25
    # By hand: a tenth in each bin, and everything in the last.
    reference = np.arange(1000.0)
    expected = (1 - 0.1) * np.log(1 / 0.1) + 9 * (0 - 0.1) * np.log(0.0005 / 0.1)
    assert stability_index(np.full(1000, 2000.0), reference) == pytest.approx(expected, rel=0.05)
    assert np.isnan(stability_index(np.array([np.nan]), before))
    assert stability_index(np.full(10, 3.0), np.full(10, 3.0)) == pytest.approx(0)


def test_a_feature_of_the_market_does_not_ring_for_ever() -> None:
    """Half a year of what all instruments share is unlike five years, as it always was."""
    chance = np.random.default_rng(4)
    block = np.repeat(np.arange(11), 26 * 50)
    shared = np.repeat(chance.normal(size=11 * 26), 50)
    index, *before = block_indices(shared, block)
    assert index > 0.1
    assert index < 1.5 * max(before)
    moved = np.where(block == 0, shared + 3, shared)
    index, *before = block_indices(moved, block)
    assert index > 1.5 * max(before)


def test_the_picture() -> None:
    assert record_plot(record(np.tile([0.75, 0.85], 60)))[:8] == b"\x89PNG\r\n\x1a\n"
    assert record_plot(record(np.full(3, 0.8)))[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("holds", [True, False])
def test_a_drift_asks_for_a_refit(holds: bool) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        @dg.asset(key="accuracy_report")
        def report() -> None: ...

        @dg.asset_check(asset=report, name="coverage_holds")
        def coverage_holds() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=holds, severity=dg.AssetCheckSeverity.WARN)

        context = dg.build_sensor_context(instance=instance)
        assert not refit_on_drift(context).run_requests

        @dg.asset(partitions_def=weekly)
        def forecasts() -> None: ...

        dg.materialize([report, coverage_holds], instance=instance)
        assert not refit_on_drift(context).run_requests  # nothing has been forecast
        for week in ("2026-01-12", "2026-01-05"):
            dg.materialize([forecasts], instance=instance, partition_key=week)
        requests = refit_on_drift(context).run_requests or []
        assert len(requests) == (0 if holds else 1)
        for request in requests:
            assert request.tags[REFIT_TAG] == "yes"
            assert request.partition_key == "2026-01-12"
            assert request.run_key == f"{request.partition_key} coverage_holds"
