"""Regression trees as plain arrays: they hash the same in every process, need no pickle, and are
walked here without scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stock_platform.ml.candidates.base import settle
from stock_platform.ml.features import Arrays, Floats


def pack_trees(trees: Sequence[Any]) -> Arrays:
    """The nodes of scikit-learn's trees one after the other; tree i begins at start[i]."""
    start = np.cumsum([0, *(tree.node_count for tree in trees)])
    return {
        "start": start.astype(np.float64),
        "feature": np.concatenate([t.feature for t in trees]).astype(np.float64),
        "left": np.concatenate([t.children_left for t in trees]).astype(np.float64),
        "right": np.concatenate([t.children_right for t in trees]).astype(np.float64),
        "threshold": np.concatenate([t.threshold for t in trees]),
        "value": settle(np.concatenate([t.value[:, 0, 0] for t in trees])),
    }


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
