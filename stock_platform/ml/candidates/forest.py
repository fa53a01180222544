"""Random forest (Breiman 2001) of log volatility. Location zero: a forest's mean loses to none."""

from __future__ import annotations

from datetime import date
from types import MappingProxyType

import numpy as np
from typing_extensions import override

from stock_platform.ml.candidates.base import Params, ScaleModel
from stock_platform.ml.candidates.linear import log_volatility_target, thinned, training_rows
from stock_platform.ml.candidates.random_walk import from_daily
from stock_platform.ml.candidates.trees import pack_trees, walk_trees
from stock_platform.ml.features import Arrays, Floats, Panel, design_matrix


class Forest(ScaleModel):
    """Scale from a small forest, fitted on at most `max_rows` evenly spaced rows."""

    name = "forest"
    params: Params = MappingProxyType(
        {"trees": 30, "min_leaf": 20, "max_rows": 3000, "max_features": 0.33, "seed": 7}
    )

    @override
    def fit(self, panel: Panel, as_of: date) -> Arrays:
        from sklearn.ensemble import RandomForestRegressor

        mask = thinned(panel, training_rows(panel, as_of), int(self.params["max_rows"]))
        forest = RandomForestRegressor(
            n_estimators=int(self.params["trees"]),
            min_samples_leaf=int(self.params["min_leaf"]),
            max_features=float(self.params["max_features"]),
            random_state=int(self.params["seed"]),
            n_jobs=2,
        )
        forest.fit(design_matrix(panel.rows(mask)), log_volatility_target(panel, as_of, mask))
        return pack_trees([estimator.tree_ for estimator in forest.estimators_])

    @override
    def location_scale(self, arrays: Arrays, rows: Panel) -> tuple[Floats, Floats]:
        return from_daily(np.exp(walk_trees(arrays, design_matrix(rows))))
