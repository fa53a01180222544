"""Guards against fake skill. Each is shown to notice the fault it guards against, planted here."""

from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
import polars as pl
import pytest

from stock_platform.ml.calibration import CALIBRATION_WEEKS, Calibrated
from stock_platform.ml.candidates import all_candidates, by_name
from stock_platform.ml.candidates.base import ScaleModel
from stock_platform.ml.candidates.linear import Linear
from stock_platform.ml.features import Panel, design_matrix
from stock_platform.ml.gate import decide
from stock_platform.ml.quantiles import GAUSSIAN
from stock_platform.ml.walk_forward import run_block, scored
from tests.support import panels

CUT = date(2011, 7, 1)


def forecasts_agree(candidates, frame: pl.DataFrame, longer: pl.DataFrame) -> bool:
    """Do forecasts on a panel cut at CUT equal those on the longer panel, for every row?"""
    weeks = (date(2010, 9, 6), date(2011, 6, 27))
    short = panels.walk_forward(panels.panel_of(frame), candidates, *weeks)
    long = panels.walk_forward(panels.panel_of(longer), candidates, *weeks)
    assert short.height > 100
    return short.equals(long)


def features_agree(make) -> bool:
    bars, sessions = panels.sample_bars(), panels.weeks().sessions
    long = panels.known_by(make(bars, sessions), CUT)
    return make(panels.known_by(bars, CUT), sessions).equals(long)


def test_prefix_of_every_feature_and_forecast():
    assert features_agree(panels.features)
    frame = panels.sample_features()
    assert forecasts_agree(all_candidates(), panels.known_by(frame, CUT), frame)


def test_prefix_notices_a_feature_that_sees_the_target_week():
    def leaky(bars, sessions):
        ahead = pl.col("feature_vol_5").shift(-5).over("instrument_id")
        return panels.features(bars, sessions).with_columns(feature_vol_5=ahead)

    assert not features_agree(leaky)
    bars, sessions = panels.sample_bars(), panels.weeks().sessions
    short, long = leaky(panels.known_by(bars, CUT), sessions), leaky(bars, sessions)
    assert not forecasts_agree([by_name("linear")], short, long)


def no_embargo(panel, as_of, rows, columns):
    return panel.forward.returns[rows, columns]


def test_prefix_notices_an_embargo_of_zero(monkeypatch):
    frame = panels.sample_features()
    monkeypatch.setattr(Panel, "_embargoed", no_embargo)
    monkeypatch.setattr(Panel, "until", lambda panel, session: panel)
    assert not forecasts_agree([by_name("linear")], panels.known_by(frame, CUT), frame)


def fits(candidate, panel, as_of):
    """Fitted on what was known and on the whole panel, neither with a fit of the other at hand."""
    known, whole = panel.where(pl.col("session") <= as_of), panel.where(pl.lit(True))
    return candidate.fit(known, as_of), candidate.fit(whole, as_of)


def test_fit_ignores_what_came_after_even_when_the_panel_has_it():
    panel, as_of = panels.sample_panel(), date(2010, 6, 20)
    for candidate in all_candidates():
        if candidate.name == "stack":  # needs more rows than four shares have: test_ml_stack.py
            continue
        known, whole = fits(candidate, panel, as_of)
        assert known.keys() == whole.keys()
        for name in known:
            np.testing.assert_array_equal(known[name], whole[name], err_msg=candidate.name)


def test_that_guard_notices_a_scaler_fitted_on_the_whole_series():
    class Scaled(Linear):
        def fit(self, panel, as_of):
            arrays = super().fit(panel, as_of)
            x = design_matrix(panel.rows(panel.usable))
            return {**arrays, "centre": x.mean(axis=0), "spread": x.std(axis=0)}

    panel, as_of = panels.sample_panel(), date(2010, 6, 20)
    known, whole = fits(Calibrated(Scaled()), panel, as_of)
    assert not np.array_equal(known["centre"], whole["centre"])


def test_the_gate_refuses_what_a_leak_makes_too_good_to_be_true():
    frame = panels.sample_features().with_columns(
        feature_ret_5=pl.col("feature_ret_5").shift(-5).over("instrument_id")
    )
    panel = panels.panel_of(frame)
    names = ["random_walk", "random_walk_calibrated", "linear"]
    rows = panels.walk_forward(
        panel, [by_name(n) for n in names], date(2009, 1, 5), date(2012, 12, 17)
    )
    verdict = decide(
        scored(rows, panel, date(2013, 1, 6)), "random_walk_calibrated", date(2013, 1, 6)
    )
    assert verdict.action == "refuse"
    assert "leak" in verdict.reason


class Memory(ScaleModel):
    """Remembers every return it was trained on and repeats it on rows whose week overlaps one.

    Its location is zero exactly where training was honest; any overlap of training and scoring
    makes its errors, and so its intervals, collapse.
    """

    name = "memory"
    params = MappingProxyType({})

    def fit(self, panel, as_of):
        mask = panel.matured(as_of)
        code = panel.frame["instrument_id"].rank("dense").to_numpy().astype(float)[mask]
        number = panel.frame["session_number"].to_numpy().astype(float)[mask]
        return {"key": code * 1e6 + number, "value": panel.labels(as_of)[mask, 4]}

    def location_scale(self, arrays, rows):
        code = {
            name: i + 1
            for i, name in enumerate(sorted(set(panels.sample_features()["instrument_id"])))
        }
        own = np.array([code[name] for name in rows.frame["instrument_id"]]) * 1e6
        key = own + rows.frame["session_number"].to_numpy()
        location = np.zeros((len(rows), 5))
        if len(arrays["key"]):
            place = np.clip(np.searchsorted(arrays["key"], key), 0, len(arrays["key"]) - 1)
            for near in (np.maximum(place - 1, 0), place):
                close = np.abs(arrays["key"][near] - key) < 5
                location[close] = arrays["value"][near][close, None]
        return location, rows.feature("feature_vol_250")[:, None] * np.sqrt([1.0, 2, 3, 4, 5])


def width_of(candidate: Calibrated) -> float:
    """Width of the 80 % interval of week-ahead scores that calibration gives."""
    shape = candidate.fit(panels.sample_panel(), date(2010, 6, 20))["shape"][4]
    return float(shape[18] - shape[2])


def test_calibration_never_scores_rows_that_the_model_trained_on():
    honest = by_name("random_walk_calibrated")
    assert width_of(Calibrated(Memory())) == pytest.approx(width_of(honest), rel=0.02)


def test_that_guard_notices_a_random_split():
    class RandomSplit(Calibrated):
        def _scores(self, arrays, panel, as_of, mask):
            arrays = self.model.fit(panel, as_of)
            kept = np.random.default_rng(1).random(len(arrays["key"])) < 0.5
            half = {name: values[kept] for name, values in arrays.items()}
            return super()._scores(half, panel, as_of, mask)

    assert width_of(RandomSplit(Memory())) < 0.9 * width_of(by_name("random_walk_calibrated"))


def test_that_guard_notices_an_embargo_of_zero():
    class NoEmbargo(Calibrated):
        def _scores(self, arrays, panel, as_of, mask):
            return super()._scores(self.model.fit(panel, as_of), panel, as_of, mask)

    assert width_of(NoEmbargo(Memory())) < 0.9 * width_of(by_name("random_walk_calibrated"))


def test_walk_forward_never_forecasts_what_it_was_trained_on(monkeypatch):
    panel, week = panels.sample_panel(), date(2010, 6, 21)
    later = panel.rows(panel.origins & panel.usable & (panel.weeks >= np.datetime64(week)))

    def remembered() -> float:
        fresh = panel.where(pl.lit(True))  # none of its fits made yet
        fitted = run_block(fresh, [Calibrated(Memory())], week).fitted["memory"]
        location, _ = fitted.candidate.model.location_scale(fitted.arrays, later)
        return float((location != 0).mean())

    assert remembered() == 0
    monkeypatch.setattr(Panel, "_embargoed", no_embargo)
    monkeypatch.setattr(Panel, "until", lambda p, session: p)
    assert remembered() > 0.5


def coverage_80(candidate) -> float:
    """Share of two years' outcomes, after the fit, inside the 80 % interval."""
    panel, as_of = panels.sample_panel(), date(2010, 6, 20)
    arrays = candidate.fit(panel, as_of)
    until = np.datetime64(as_of + timedelta(weeks=CALIBRATION_WEEKS))
    mask = panel.origins & panel.matured(date(2013, 3, 1))
    mask &= (panel.sessions > np.datetime64(as_of)) & (panel.sessions <= until)
    quantiles = candidate.predict(arrays, panel.rows(mask)).quantiles[:, 4]
    actual = panel.labels(date(2013, 3, 1))[mask, 4]
    return float(np.mean((actual > quantiles[:, 2]) & (actual < quantiles[:, 18])))


class HalfScale(ScaleModel):
    """A model whose volatility is wrong by a factor of two: calibration must mend it."""

    name = "half"
    params = MappingProxyType({})

    def fit(self, panel, as_of):
        return {}

    def location_scale(self, arrays, rows):
        scale = rows.feature("feature_ewma_vol")[:, None] * np.sqrt([1.0, 2, 3, 4, 5]) / 2
        return np.zeros_like(scale), scale


def test_intervals_mean_what_they_say_whatever_the_scale():
    assert 0.72 < coverage_80(Calibrated(HalfScale())) < 0.88


def test_that_guard_notices_an_interval_that_ignores_calibration():
    class Ignores(Calibrated):
        def predict(self, arrays, rows):
            return super().predict({**arrays, "shape": np.tile(GAUSSIAN, (5, 1))}, rows)

    assert not 0.72 < coverage_80(Ignores(HalfScale())) < 0.88
