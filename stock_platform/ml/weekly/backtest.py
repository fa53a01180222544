"""Walk forward over a panel of bars: every week forecast with what was known at its origin.

The same code serves any panel; it reads nothing but the bars it is given. The origin of a week is
its last session, the target the fifth session after it. Refits fall on a calendar of their own, so
a long range of weeks and a short one give the same forecasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.metrics import pinball
from stock_platform.ml.quantiles import COLUMN_NAMES, GAUSSIAN, probability_of_rise
from stock_platform.ml.weekly.bars import Bars, Floats, Rows
from stock_platform.ml.weekly.calibration import weekly_shapes
from stock_platform.ml.weekly.features import HORIZON, Weekly, weekly_panel
from stock_platform.ml.weekly.models import MIN_TRAINING_WEEKS, Model, Progress, all_models
from stock_platform.ml.weekly.quintiles import FIFTHS, quintile_probabilities
from stock_platform.ml.weekly.ranking import rank_scores
from stock_platform.ml.weekly.selection import Decision, decide

REFIT_WEEKS = 26
QUARTER = 13
"""Weeks between two choices."""
GROWTH = 1.5


@dataclass(frozen=True)
class Forecast:
    """One model's walk: scales (W, N) and calibrated quantiles per unit of scale (W, 21)."""

    scale: Floats
    shape: Floats

    def quantiles(self, week: int, instruments: Rows) -> Floats:
        """Quantiles (n, 21) of the log return."""
        return np.asarray(self.scale[week, instruments, None] * self.shape[week])


@dataclass(frozen=True)
class Backtest:
    """What every model forecast, who spoke, and how the week's instruments were ranked.

    Attributes:
        weekly: the panel, without its features.
        weeks: the origins asked for whose target lies inside the panel (rows of `weekly`).
        forecasts: walk of every model, and of the champion of each week as `champion`.
        decisions: of every quarter.
        scores: ranking (W, N).
        fifths: probabilities (W, N, 5).
    """

    weekly: Weekly
    weeks: Rows
    forecasts: dict[str, Forecast]
    decisions: list[Decision]
    scores: Floats
    fifths: Floats


CHAMPION = "champion"


def backtest(
    bars: Bars,
    first: date,
    last: date,
    *,
    refit_weeks: int = REFIT_WEEKS,
    models: list[Model] | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> Backtest:
    """Forecast the weeks whose origin lies in first..last.

    Raises:
        PlatformError: no origin of the range can be forecast.
    """
    weekly = weekly_panel(bars)
    origin = weekly.sessions[weekly.at]
    asked = (origin >= np.datetime64(first, "D")) & (origin <= np.datetime64(last, "D"))
    asked &= weekly.at + HORIZON < len(weekly.sessions)
    refits = refit_calendar(weekly, refit_weeks)
    forecasts = {}
    for model in models or all_models():
        scale = model.scales(weekly, refits, progress) if refits else weekly.returns * np.nan
        shape = weekly_shapes(weekly, scale, refits[0] if refits else weekly.weeks)
        forecasts[model.name] = Forecast(scale, shape)
    losses = weekly_losses(weekly, forecasts)
    decisions = decide(weekly, losses, decision_calendar(weekly, refits) if refits else [])
    champion = _spoken(weekly, forecasts, decisions)
    spoken = np.isfinite(champion.shape[:, 0])
    weeks = np.flatnonzero(asked & spoken)
    if not len(weeks):
        raise PlatformError(
            f"nothing can be forecast between {first} and {last}: the panel has "
            f"{weekly.sessions[0]}..{weekly.sessions[-1]}; a year of bars, half a year of "
            "weeks to train on and half a year of errors to calibrate on must lie before the first "
            "origin, and "
            f"{HORIZON} sessions after the last"
        )
    scores = rank_scores(weekly, refits, progress)
    fifths = quintile_probabilities(weekly, champion.scale, scores)
    nothing = np.empty((0, 0, 0), dtype=np.float32)
    weekly = replace(weekly, x=nothing, ranks=nothing)  # they have done their work
    return Backtest(weekly, weeks, forecasts | {CHAMPION: champion}, decisions, scores, fifths)


def refit_calendar(weekly: Weekly, refit_weeks: int) -> list[int]:
    """Weeks (rows) of the refits: whole periods of calendar weeks counted from 1970, from the first
    on with MIN_TRAINING_WEEKS matured weeks before it. A young panel is refitted in between, at
    quarters by which its history has grown by GROWTH."""
    trained = np.append(0, np.cumsum(weekly.usable.any(axis=1)))
    period = _calendar_weeks(weekly) // refit_weeks
    refits: list[int] = []
    for week in sorted({*_begins(weekly, refit_weeks), *_begins(weekly, QUARTER)}):
        now = trained[weekly.matured(week)]
        if now < MIN_TRAINING_WEEKS:
            continue
        grown = refits and now >= GROWTH * trained[weekly.matured(refits[-1])]
        if not refits or grown or period[week] != period[refits[-1]]:
            refits.append(week)
    return refits


def decision_calendar(weekly: Weekly, refits: Sequence[int]) -> list[int]:
    """Weeks (rows) of the choices between models: the first refit, then every quarter."""
    return sorted({*refits[:1], *(w for w in _begins(weekly, QUARTER) if w > refits[0])})


def _calendar_weeks(weekly: Weekly) -> Rows:
    """Weeks since 1970 (W,), so that a longer panel counts alike."""
    return np.asarray((weekly.sessions[weekly.at].astype(np.int64) + 3) // 7)


def _begins(weekly: Weekly, weeks: int) -> list[int]:
    """Rows at which a period of so many calendar weeks begins."""
    period = _calendar_weeks(weekly) // weeks
    begins: list[int] = np.flatnonzero(np.append(True, period[1:] != period[:-1])).tolist()
    return begins


def weekly_losses(weekly: Weekly, forecasts: dict[str, Forecast]) -> dict[str, Floats]:
    """Mean pinball loss per week (W,) of the baseline and every model, where all have a forecast
    that has matured."""
    everyone = np.isfinite(weekly.returns)
    for forecast in forecasts.values():
        spoken = np.isfinite(forecast.scale) & np.isfinite(forecast.shape[:, :1])
        # A model that is not fitted yet keeps no week of the others.
        everyone &= spoken | ~spoken.any(axis=1, keepdims=True)
    losses = {name: np.full(weekly.weeks, np.nan) for name in [BASELINE, *forecasts]}
    for week in np.flatnonzero(everyone.any(axis=1)).tolist():
        rows = np.flatnonzero(everyone[week])
        actual = weekly.returns[week, rows]
        base = np.sqrt(HORIZON * weekly.year_variance[week, rows])[:, None] * GAUSSIAN
        losses[BASELINE][week] = pinball(actual, base).mean()
        for name, forecast in forecasts.items():
            if np.isfinite(forecast.shape[week, 0]) and np.isfinite(forecast.scale[week]).any():
                losses[name][week] = pinball(actual, forecast.quantiles(week, rows)).mean()
    return losses


def table(result: Backtest) -> pl.DataFrame:
    """One row per instrument and origin: see `stock-platform backtest --help` for the columns."""
    weekly, champion = result.weekly, result.forecasts[CHAMPION]
    symbols = np.array(weekly.symbols, dtype=object)
    frames = []
    for week in result.weeks:
        rows = np.flatnonzero(np.isfinite(champion.scale[week]))
        quantiles = champion.quantiles(week, rows)
        close = weekly.close[week, rows]
        at = int(weekly.at[week])
        frames.append(
            pl.DataFrame(
                {
                    "symbol": pl.Series(symbols[rows], dtype=pl.String),
                    "origin": weekly.sessions[[at] * len(rows)],
                    "target": weekly.sessions[[at + HORIZON] * len(rows)],
                    "origin_price": close,
                    **{
                        name: close * np.exp(quantiles[:, place])
                        for place, name in enumerate(COLUMN_NAMES)
                    },
                    "p_up": probability_of_rise(quantiles),
                    "rank_score": np.nan_to_num(result.scores[week, rows]),
                    **{
                        f"p_quintile_{fifth + 1}": result.fifths[week, rows, fifth]
                        for fifth in range(FIFTHS)
                    },
                }
            )
        )
    return pl.concat(frames).sort("origin", "symbol")


def _spoken(weekly: Weekly, forecasts: dict[str, Forecast], decisions: list[Decision]) -> Forecast:
    """The champion's forecast of each week."""
    scale = np.full(weekly.usable.shape, np.nan)
    shape = np.full((weekly.weeks, len(COLUMN_NAMES)), np.nan)
    ends = [*(decision.week for decision in decisions[1:]), weekly.weeks][: len(decisions)]
    for decision, end in zip(decisions, ends, strict=True):
        weeks = slice(decision.week, end)
        scale[weeks] = forecasts[decision.champion].scale[weeks]
        shape[weeks] = forecasts[decision.champion].shape[weeks]
    return Forecast(scale, shape)
