"""Which instruments may do better than the others next week: weak signals, as ranks.

Reversal of the last days (Jegadeesh 1990), momentum (Jegadeesh, Titman 1993), what came in the same
week of other years (Heston, Sadka 2008), overnight against intraday returns (Lou, Polk, Skouras
2019), drift after news (Bernard, Thomas 1989), and lag behind peers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stock_platform.ml.weekly.bars import Daily, Floats, Reals, Rows
from stock_platform.ml.weekly.events import ago
from stock_platform.ml.weekly.peers import Groups, mean_of_peers
from stock_platform.ml.weekly.volatility import Columns, year_variance
from stock_platform.ml.weekly.windows import Sums

SHARED = (
    "vol_22",
    "range_5",
    "idiosyncratic_60",
    "beta",
    "largest_22",
    "skew_22",
    "volume_5",
    "volume_22",
    "volume_60",
    "below_high",
    "return_5",
)
"""Features of the scale that are signals too."""
NEWS_WEEKS = 12
PEER_WINDOWS = (1, 5, 22)


def signal_features(
    daily: Daily, found: Columns, scores: Floats, market: Floats, at: Rows
) -> Columns:
    """Signals (W, N) of each instrument by itself, in units of its yearly volatility."""
    unit = np.sqrt(year_variance(daily, at))
    own = Sums(daily.returns - market, at)
    nightly = Sums(daily.overnight, at)
    daytime = Sums(daily.returns - daily.overnight, at)
    signals: Columns = {}
    for window in (1, 2, 5, 10, 22, 60, 120):
        signals[f"own_{window}"] = own.total(window) / unit
    signals["momentum"] = own.total(230, lag=22) / unit
    signals["momentum_100"] = own.total(100, lag=22) / unit
    for window in (5, 22, 60):
        signals[f"overnight_{window}"] = nightly.total(window) / unit
        signals[f"daytime_{window}"] = daytime.total(window) / unit
    weekly = _weekly(own, at)
    signals["last_year"] = ago(weekly, 52) / unit
    years = [ago(weekly, 52 * year) for year in range(1, 6)]
    signals["same_week"] = np.mean(years, axis=0) / unit
    quarters = [ago(weekly, 13 * quarter) for quarter in (1, 2, 3, 5, 6, 7)]
    signals["same_week_of_quarter"] = np.mean(quarters, axis=0) / unit
    for weeks in (2, 3, 4):
        signals[f"week_{weeks}"] = ago(weekly, weeks) / unit
    signals |= {name: found[name] for name in SHARED}
    signals["unrest"] = found["range_5"] - found["log_range_250"]
    signals["event"] = scores
    signals["after_news"] = _return_of_news(weekly, scores) / unit
    return signals


def peer_signals(signals: Mapping[str, Reals], groups: Groups) -> Columns:
    """How the peers did, and how far they are ahead."""
    found: Columns = {}
    for window in PEER_WINDOWS:
        own = np.nan_to_num(signals[f"own_{window}"])
        peers = mean_of_peers(own, groups)
        found[f"peers_{window}"] = peers
        found[f"behind_peers_{window}"] = peers - own
    return found


def rank_in_place(signals: npt.NDArray[np.float32], usable: npt.NDArray[np.bool_]) -> None:
    """Replace signals (W, N, q) by ranks across the usable instruments of a week, -0.5..0.5; what
    is unknown gets 0."""
    for place in range(signals.shape[2]):
        known = np.where(usable, signals[:, :, place], np.nan)
        signals[:, :, place] = np.nan_to_num(cross_rank(known))


def cross_rank(values: Reals) -> Floats:
    """Rank (W, N) of the known values of each row, evenly in -0.5..0.5; NaN stays."""
    known = np.isfinite(values)
    order = np.argsort(np.where(known, values, np.inf), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(values.shape[1])[None, :], axis=1)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, (place + 0.5) / count - 0.5, np.nan)


def _weekly(own: Sums, at: Rows) -> Floats:
    """Return (W, N) of each week."""
    upto = own.total(int(at[-1]) + 1)
    week = np.zeros_like(upto)
    week[1:] = upto[1:] - upto[:-1]
    return week


def _return_of_news(weekly: Floats, scores: Floats) -> Floats:
    """Return (W, N) of the week with the largest event of the last NEWS_WEEKS."""
    best, found = np.zeros_like(scores), np.zeros_like(scores)
    for weeks in range(1, NEWS_WEEKS + 1):
        score = ago(scores, weeks)
        larger = score > best
        best = np.where(larger, score, best)
        found = np.where(larger, ago(weekly, weeks), found)
    return found
