"""Candidates, their serialisation and digests, the walk-forward schedule."""

import os
import subprocess
import sys
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import all_candidates, by_name
from stock_platform.ml.candidates.base import Fitted, NotEnoughHistoryError, settle
from stock_platform.ml.candidates.trees import walk_trees
from stock_platform.ml.quantiles import GAUSSIAN
from stock_platform.ml.serialise import model_digest, pack, read_arrays, unpack
from stock_platform.ml.walk_forward import refit_week, run_block
from stock_platform.settings import PROJECT_ROOT
from tests.support import panels
from tests.unit.ml import test_ml_stack

AS_OF = date(2010, 6, 20)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Fitted]:
    panel = panels.sample_panel()
    # The stack needs more rows than four shares have: test_ml_stack.py.
    return {c.name: Fitted(c, c.fit(panel, AS_OF)) for c in all_candidates() if c.name != "stack"}


def test_random_walk_is_the_baseline_as_defined():
    panel = panels.sample_panel()
    rows = panel.rows(panel.usable).until(date(2005, 1, 31))
    quantiles = by_name("random_walk").predict({}, rows).quantiles
    volatility = rows.feature("feature_vol_250")
    for horizon in range(1, 6):
        expected = volatility[:, None] * np.sqrt(horizon) * GAUSSIAN
        np.testing.assert_allclose(quantiles[:, horizon - 1], expected)


def test_every_distribution_is_ordered_and_widens(fitted):
    panel = panels.sample_panel()
    rows = panel.rows(panel.usable & (panel.sessions > np.datetime64(AS_OF)))
    for name, model in fitted.items():
        distribution = model.predict(rows)
        assert distribution.quantiles.shape == (len(rows), 5, 21), name
        assert (np.diff(distribution.quantiles, axis=2) >= 0).all(), name
        width = distribution.quantiles[:, :, -1] - distribution.quantiles[:, :, 0]
        assert (np.diff(width, axis=1) > 0).mean() > 0.99, name
        assert ((distribution.p_up > 0) & (distribution.p_up < 1)).all(), name
        assert np.abs(distribution.mean - 1).max() < 0.1, name


def test_trees_are_walked_as_scikit_learn_walks_them():
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((400, 4)), rng.standard_normal(400)
    forest = RandomForestRegressor(n_estimators=7, min_samples_leaf=5, random_state=1).fit(x, y)
    trees = [e.tree_ for e in forest.estimators_]
    arrays = {
        "start": np.cumsum([0.0, *(t.node_count for t in trees)]),
        "feature": np.concatenate([t.feature for t in trees]).astype(float),
        "left": np.concatenate([t.children_left for t in trees]).astype(float),
        "right": np.concatenate([t.children_right for t in trees]).astype(float),
        "threshold": np.concatenate([t.threshold for t in trees]),
        "value": np.concatenate([t.value[:, 0, 0] for t in trees]),
    }
    new = rng.standard_normal((300, 4))
    np.testing.assert_allclose(walk_trees(arrays, new), forest.predict(new))


def test_a_row_is_forecast_alike_alone_and_in_company(fitted):
    panel = panels.sample_panel()
    rows = panel.rows(panel.usable & (panel.sessions == np.datetime64("2011-03-04")))
    for name, model in fitted.items():
        together = model.predict(rows).quantiles
        for i in range(len(rows)):
            alone = model.predict(rows.rows(np.arange(len(rows)) == i)).quantiles[0]
            np.testing.assert_allclose(alone, together[i], rtol=1e-12, err_msg=name)


def test_too_short_a_panel_sits_out_and_says_why():
    panel = panels.sample_panel()
    with pytest.raises(NotEnoughHistoryError, match="104 needed"):
        by_name("linear").fit(panel, date(2003, 1, 5))
    block = run_block(panel, all_candidates(), date(2002, 12, 30))
    assert set(block.sat_out) == {"linear", "har", "forest", "boosting", "blend", "stack"}
    assert "random_walk_calibrated" in block.fitted


def test_pack_and_unpack(fitted):
    panel = panels.sample_panel()
    rows = panel.rows(panel.usable & (panel.sessions == np.datetime64("2011-03-04")))
    for model in fitted.values():
        digest = model_digest(model)
        again = unpack(pack(model), digest)
        np.testing.assert_array_equal(again.predict(rows).quantiles, model.predict(rows).quantiles)
        assert pack(again) == pack(model)
    assert len({model_digest(model) for model in fitted.values()}) == len(fitted)


def test_an_altered_or_damaged_model_is_refused(fitted):
    model = fitted["linear"]
    digest = model_digest(model)
    altered = Fitted(model.candidate, {**model.arrays, "slope": model.arrays["slope"] * 1.0001})
    with pytest.raises(PlatformError, match="altered"):
        unpack(pack(altered), digest)
    with pytest.raises(PlatformError, match="can't be read"):
        unpack(pack(model)[:-40], digest)
    with pytest.raises(PlatformError, match="unknown candidate 'arima'"):
        by_name("arima")


def test_a_model_fitted_with_other_settings_is_refused(fitted):
    other = by_name("linear")
    other.params = {**other.params, "calibration_weeks": 52}
    with pytest.raises(PlatformError, match="fitted with settings"):
        read_arrays(pack(Fitted(other, fitted["linear"].arrays)))


FIT_AND_PRINT = """
from datetime import date
from stock_platform.ml.candidates import all_candidates
from stock_platform.ml.candidates.base import Fitted
from stock_platform.ml.serialise import model_digest
from tests.support import panels
from tests.unit.ml.test_ml_stack import AS_OF, panel_of, prices
few, many = panels.sample_panel(), panel_of(prices())
for candidate in all_candidates():
    panel, day = (many, AS_OF) if candidate.name == "stack" else (few, date(2010, 6, 20))
    print(candidate.name, model_digest(Fitted(candidate, candidate.fit(panel, day))))
"""


@pytest.mark.slow
def test_digests_are_equal_in_fresh_processes(fitted):
    """With other numbers of threads, and with the kernels numpy uses on other machines."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FIT_AND_PRINT],
            cwd=PROJECT_ROOT,
            env={
                **os.environ,
                "PYTHONHASHSEED": number,
                "OMP_NUM_THREADS": number,
                "OPENBLAS_CORETYPE": kernel,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, kernel in (("1", "Prescott"), ("2", "Nehalem"))
    ]
    outputs = [dict(line.split() for line in p.communicate()[0].splitlines()) for p in processes]
    here = {name: model_digest(model) for name, model in fitted.items()}
    stack = by_name("stack")
    arrays = stack.fit(test_ml_stack.panel_of(test_ml_stack.prices()), test_ml_stack.AS_OF)
    here["stack"] = model_digest(Fitted(stack, arrays))
    assert outputs[0] == outputs[1] == here


def test_settled_parameters_forget_the_last_bits():
    values = np.array([1.0, -3.3e-7, 0.0, 12345.6789])
    np.testing.assert_array_equal(settle(values), settle(values * (1 + 1e-14)))
    np.testing.assert_allclose(settle(values), values, rtol=1e-8)


def test_refits_fall_on_the_same_weeks_whatever_the_range():
    monday = date(2012, 12, 17)
    assert refit_week(monday) == monday
    assert refit_week(monday + timedelta(weeks=25)) == monday
    assert refit_week(monday - timedelta(weeks=1)) == monday - timedelta(weeks=26)


def test_a_range_and_single_weeks_give_identical_rows():
    panel = panels.sample_panel()
    candidates = [by_name("random_walk"), by_name("ewma"), by_name("linear")]
    weeks = [date(2012, 12, 3) + timedelta(weeks=w) for w in range(4)]
    together = panels.walk_forward(panel, candidates, weeks[0], weeks[-1])
    single = pl.concat([panels.walk_forward(panel, candidates, w, w) for w in weeks])
    keys = ["candidate", "week", "instrument_id"]
    assert together.sort(keys).equals(single.sort(keys))
    assert together["refit_week"].n_unique() == 2
