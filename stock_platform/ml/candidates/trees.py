"""Regression trees as plain arrays: they hash the same in every process, need no pickle, and are
walked here without scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stock_platform.ml.candidates.base import settle
from stock_platform.ml.features import Arrays, Floats

ROWS = 1024
"""Rows walked at once: what they touch stays in the processor's cache."""


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
    roots = arrays["start"][:-1].astype(np.int64)
    own = np.arange(len(arrays["feature"]))
    base = np.repeat(roots, np.diff(arrays["start"]).astype(np.int64))
    feature = arrays["feature"].astype(np.int64)
    leaf = feature < 0
    # A leaf's children are itself: who has arrived stays.
    left, right = (
        np.where(leaf, own, arrays[side].astype(np.int64) + base) for side in ("left", "right")
    )
    feature[leaf] = 0
    x = x.astype(np.float32).astype(np.float64)
    found = []
    for part in np.array_split(x, max(1, len(x) // ROWS)):
        row = np.arange(len(part))[:, None]
        node = np.broadcast_to(roots, (len(part), len(roots)))
        while not leaf[node].all():
            goes_left = part[row, feature[node]] <= arrays["threshold"][node]
            node = np.where(goes_left, left[node], right[node])
        found.append(arrays["value"][node].mean(axis=1))
    return np.concatenate(found)
