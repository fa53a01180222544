"""Gradient-boosted trees (Friedman 2001) of log volatility; location zero.

scikit-learn's and not LightGBM's, which needs a system library that a bare machine lacks.
"""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Params, ScaleModel, settle
from stock_platform.ml.candidates.linear import log_volatility_target, thinned, training_rows
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.candidates.trees import pack_trees, walk_trees
from stock_platform.ml.features import Arrays, Floats, Panel, design_matrix


class Boosting(ScaleModel):
    """Scale from small trees, each fitted to what those before left, on at most `max_rows` rows."""

    name = "boosting"
    params: Params = MappingProxyType(
        {
            "trees": 50,
            "depth": 3,
            "learning_rate": 0.12,
            "subsample": 0.5,
            "min_leaf": 20,
            "max_rows": 2500,
            "seed": 7,
        }
    )

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        from sklearn.ensemble import GradientBoostingRegressor

        mask = thinned(panel, training_rows(panel, as_of), int(self.params["max_rows"]))
        y = log_volatility_target(panel, as_of, mask)
        boosted = GradientBoostingRegressor(
            n_estimators=int(self.params["trees"]),
            max_depth=int(self.params["depth"]),
            learning_rate=float(self.params["learning_rate"]),
            subsample=float(self.params["subsample"]),
            min_samples_leaf=int(self.params["min_leaf"]),
            random_state=int(self.params["seed"]),
            init="zero",
        )
        boosted.fit(design_matrix(panel.rows(mask)), y - y.mean())
        trees = [estimator.tree_ for estimator in boosted.estimators_[:, 0]]
        return {"level": settle([y.mean()]), **pack_trees(trees)}

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        steps = float(self.params["learning_rate"]) * int(self.params["trees"])
        above = steps * walk_trees(arrays, design_matrix(rows))
        return from_daily(np.exp(arrays["level"] + above))
