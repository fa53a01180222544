"""The instruments that move most like each one, found anew twice a year."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stock_platform.ml.weekly.bars import Days, Floats, Reals, Rows
from stock_platform.ml.weekly.volatility import Columns

PEERS = 12
EVERY = 26
"""Weeks between two searches; a calendar of its own, so that a longer panel searches alike."""
SESSIONS = 500
LARGEST = 0.2
"""Log returns are cut here: one shared accident makes no peers."""

FOLLOWED = ("range_5", "log_range_22")
"""Features whose mean over the peers is a feature too."""

Groups = list[tuple[slice, npt.NDArray[np.intp]]]
"""Weeks and the peers (N, k) found for them; before there is a year of bars each is its own."""


def find_peers(own: Reals, sessions: Days, at: Rows) -> Groups:
    """Peers by correlation of returns without the market's (T, N) over the SESSIONS before."""
    weeks = (sessions[at].astype(np.int64) + 3) // 7
    period = weeks // EVERY
    begins = [0, *np.flatnonzero(period[1:] != period[:-1]) + 1]
    groups: Groups = []
    for begin, end in zip(begins, [*begins[1:], len(at)], strict=True):
        past = own[max(0, at[begin] - SESSIONS + 1) : at[begin] + 1]
        groups.append((slice(begin, end), _peers(past)))
    return groups


def _peers(past: Reals) -> npt.NDArray[np.intp]:
    """Peers (N, k) of the instruments with half of the SESSIONS; any other is its own.

    Only those are compared at all, so an instrument that comes later changes nothing before it.
    """
    everyone = np.arange(past.shape[1])
    known = np.flatnonzero(np.isfinite(past).sum(axis=0) >= SESSIONS // 2)
    if len(known) < 2:
        return everyone[:, None]
    found = known[_most_correlated(past[:, known])]
    peers = np.repeat(everyone[:, None], found.shape[1], axis=1)
    peers[known] = found
    return peers


def peer_features(found: Mapping[str, Reals], groups: Groups) -> Columns:
    """Mean of the peers' volatility above its level of the year, on the instrument's own level."""
    level = np.nan_to_num(found["range_250"])
    columns: Columns = {}
    for name in FOLLOWED:
        excess = np.nan_to_num(found[name] - level)
        columns[f"peers_{name}"] = level + mean_of_peers(excess, groups)
    return columns


def mean_of_peers(values: Reals, groups: Groups) -> Floats:
    """Mean (W, N) over each instrument's peers."""
    mean = np.empty(values.shape)
    for weeks, peers in groups:
        mean[weeks] = values[weeks][:, peers].mean(axis=2)
    return mean


def _most_correlated(returns: Reals) -> npt.NDArray[np.intp]:
    cut = np.clip(np.nan_to_num(returns), -LARGEST, LARGEST).astype(np.float32)
    cut -= cut.mean(axis=0)
    cut /= np.maximum(cut.std(axis=0), 1e-6)
    likeness = cut.T @ cut
    np.fill_diagonal(likeness, -np.inf)
    k = min(PEERS, len(likeness) - 1)
    return np.sort(np.argpartition(-likeness, k - 1, axis=1)[:, :k], axis=1)
