"""Random forest (Breiman 2001) of log volatility. Location zero: a forest's mean loses to none.

Trees are kept as plain arrays: they hash the same in every process, need no pickle, and are walked
here without scikit-learn.
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Arrays, Params, ScaleModel, settle
from stock_platform.ml.candidates.linear import log_volatility_target, training_rows
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.features import Floats, Panel, design_matrix


class Forest(ScaleModel):
    """Scale from a small forest, fitted on at most `max_rows` evenly spaced rows."""

    name = "forest"
    params: Params = MappingProxyType(
        {"trees": 30, "min_leaf": 20, "max_rows": 3000, "max_features": 0.33, "seed": 7}
    )

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        from sklearn.ensemble import RandomForestRegressor

        mask = training_rows(panel, as_of)
        step = -(-int(mask.sum()) // int(self.params["max_rows"]))
        numbers = panel.frame["session_number"].to_numpy()
        mask &= numbers % step == 0
        forest = RandomForestRegressor(
            n_estimators=int(self.params["trees"]),
            min_samples_leaf=int(self.params["min_leaf"]),
            max_features=float(self.params["max_features"]),
            random_state=int(self.params["seed"]),
            n_jobs=2,
        )
        forest.fit(design_matrix(panel.rows(mask)), log_volatility_target(panel, as_of, mask))
        trees = [estimator.tree_ for estimator in forest.estimators_]
        start = np.cumsum([0, *(tree.node_count for tree in trees)])
        return {
            "start": start.astype(np.float64),
            "feature": np.concatenate([t.feature for t in trees]).astype(np.float64),
            "left": np.concatenate([t.children_left for t in trees]).astype(np.float64),
            "right": np.concatenate([t.children_right for t in trees]).astype(np.float64),
            "threshold": np.concatenate([t.threshold for t in trees]),
            "value": settle(np.concatenate([t.value[:, 0, 0] for t in trees])),
        }

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        return from_daily(np.exp(walk_trees(arrays, design_matrix(rows))))


def walk_trees(arrays: Arrays, x: Floats) -> Floats:
    """Mean over trees of the leaf value (n,) for regressors x (n, k).

    scikit-learn compares float32 regressors with float64 thresholds; so does this.
    """
    x = x.astype(np.float32).astype(np.float64)
    feature = arrays["feature"].astype(np.int64)
    left, right = arrays["left"].astype(np.int64), arrays["right"].astype(np.int64)
    roots = arrays["start"][:-1].astype(np.int64)
    base = np.repeat(roots, np.diff(arrays["start"]).astype(np.int64))
    node = np.broadcast_to(roots, (len(x), len(roots))).copy()
    row = np.arange(len(x))[:, None]
    while True:
        inner = feature[node] >= 0
        if not inner.any():
            return np.asarray(arrays["value"][node].mean(axis=1))
        goes_left = x[row, np.maximum(feature[node], 0)] <= arrays["threshold"][node]
        child = np.where(goes_left, left[node], right[node]) + base[node]
        node = np.where(inner, child, node)
