"""Scores of a backtest: every model on the same rows, against the random walk of 250 sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.features import Mask
from stock_platform.ml.metrics import newey_west_t, score
from stock_platform.ml.quantiles import (
    COLUMN_NAMES,
    GAUSSIAN,
    mean_ratio,
    probability_of_rise,
)
from stock_platform.ml.weekly.backtest import CHAMPION, Backtest, Forecast
from stock_platform.ml.weekly.bars import Floats, Rows
from stock_platform.ml.weekly.features import HORIZON, Weekly
from stock_platform.ml.weekly.quintiles import FIFTHS, fifths
from stock_platform.ml.weekly.ranking import FEWEST
from stock_platform.ml.weekly.ranks import cross_rank

MOST = 0.5
USUAL_WEEKS = 104
YEAR_ORIGINS = 40
"""Years with fewer origins say too little to be listed."""


@dataclass(frozen=True)
class Report:
    """Tables of a backtest.

    Attributes:
        models: a row per model with every metric of metrics.score, coverage of the worst years and
            of volatility terciles (lowest first).
        years: coverage and skill of the champion by year.
        ranking: weekly rank IC and ranked probability score; None with too few instruments.
    """

    models: pl.DataFrame
    years: pl.DataFrame
    ranking: dict[str, float] | None

    def to_json(self, result: Backtest) -> str:
        """The tables, and who spoke from when on; what is not known is null."""
        weekly = result.weekly
        told = {
            "models": self.models.fill_nan(None).to_dicts(),
            "champion_by_year": self.years.fill_nan(None).to_dicts(),
            "ranking": self.ranking,
            "decisions": [
                {
                    "origin": str(weekly.sessions[weekly.at[decision.week]]),
                    "champion": decision.champion,
                    "challenger": decision.challenger,
                    "t": decision.t if np.isfinite(decision.t) else None,
                }
                for decision in result.decisions
            ],
        }
        return json.dumps(told, indent=2)


def report(result: Backtest) -> Report:
    """Score a backtest on the matured rows that every model forecast; a model that sat out
    more than half of the weeks would leave too few, and is left out."""
    weekly = result.weekly
    common = np.isfinite(weekly.returns[result.weeks])
    scored = {}
    for name, forecast in result.forecasts.items():
        spoken = (np.isfinite(forecast.scale) & np.isfinite(forecast.shape[:, :1]))[result.weeks]
        if spoken.any(axis=1).mean() >= MOST:
            common &= spoken
            scored[name] = forecast
    walk = Forecast(np.sqrt(HORIZON * weekly.year_variance), np.tile(GAUSSIAN, (weekly.weeks, 1)))
    usual = _usual_moves(weekly)
    baseline = _rows(weekly, walk, result.weeks, common, usual)
    years = baseline["week"].dt.year()
    rows: list[dict[str, Any]] = []
    by_year = pl.DataFrame()
    for name, forecast in {BASELINE: walk, **scored}.items():
        own = _rows(weekly, forecast, result.weeks, common, usual)
        yearly = _by_year(own, baseline, years)
        inside = yearly.filter(pl.col("origins") >= YEAR_ORIGINS)["coverage_80"]
        rows.append(
            {
                "model": name,
                **score(own, baseline),
                "mase": _mase(own),
                "coverage_80_worst_year_low": inside.min(),
                "coverage_80_worst_year_high": inside.max(),
                **_terciles(forecast, result.weeks, common, own),
            }
        )
        if name == CHAMPION:
            by_year = yearly
    return Report(pl.DataFrame(rows), by_year, _ranking(result, common))


def _rows(
    weekly: Weekly, forecast: Forecast, weeks: Rows, common: Mask, usual: Floats
) -> pl.DataFrame:
    """Rows of one model as metrics.score takes them, with the instrument's usual move."""
    frames = []
    for place, week in enumerate(weeks):
        instruments = np.flatnonzero(common[place])
        if not len(instruments):
            continue
        quantiles = forecast.quantiles(week, instruments)
        day = weekly.sessions[weekly.at[week]]
        frame = pl.DataFrame(quantiles, schema=COLUMN_NAMES).with_columns(
            week=pl.lit(day.astype(object)),
            actual=pl.Series(weekly.returns[week, instruments]),
            mean=pl.Series(mean_ratio(quantiles)),
            p_up=pl.Series(probability_of_rise(quantiles)),
            usual=pl.Series(usual[week, instruments]),
        )
        frames.append(frame)
    return pl.concat(frames)


def _usual_moves(weekly: Weekly) -> Floats:
    """Mean absolute return (W, N) of the last USUAL_WEEKS that had matured, NaN without any."""
    size = np.abs(np.expm1(weekly.returns))
    known = np.isfinite(size)
    total, count = (
        np.vstack([np.zeros(size.shape[1]), np.cumsum(values, axis=0)])
        for values in (np.where(known, size, 0.0), known.astype(np.float64))
    )
    ends = np.array([weekly.matured(week) for week in range(weekly.weeks)])
    starts = np.maximum(ends - USUAL_WEEKS, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((total[ends] - total[starts]) / (count[ends] - count[starts]))


def _mase(rows: pl.DataFrame) -> float:
    """Mean absolute scaled error: Hyndman, Koehler (2006), the scale being the instrument's usual
    weekly move up to the origin."""
    usual = rows["usual"].to_numpy()
    error = np.abs(np.expm1(rows["actual"].to_numpy()) - np.expm1(rows["q50"].to_numpy()))
    known = np.isfinite(usual) & (usual > 0)
    return float((error[known] / usual[known]).mean()) if known.any() else float("nan")


def _by_year(own: pl.DataFrame, baseline: pl.DataFrame, years: pl.Series) -> pl.DataFrame:
    rows = []
    for year in years.unique().sort():
        chosen = years == year
        scores = score(own.filter(chosen), baseline.filter(chosen))
        kept = ("skill", "coverage_50", "coverage_80", "coverage_95", "mae_over_random_walk")
        rows.append(
            {"year": year, "origins": int(scores["weeks"])} | {name: scores[name] for name in kept}
        )
    return pl.DataFrame(rows)


def _terciles(forecast: Forecast, weeks: Rows, common: Mask, own: pl.DataFrame) -> dict[str, float]:
    """80 % coverage in each third of the week's forecast volatilities."""
    rank = cross_rank(np.where(common, forecast.scale[weeks], np.nan))[common]
    inside = ((own["actual"] >= own["q10"]) & (own["actual"] <= own["q90"])).to_numpy()
    third = np.clip(((rank + 0.5) * 3).astype(int), 0, 2)
    return {
        f"coverage_80_{name}_volatility": float(inside[third == place].mean())
        if (third == place).any()
        else float("nan")
        for place, name in enumerate(("low", "middle", "high"))
    }


def _ranking(result: Backtest, common: Mask) -> dict[str, float] | None:
    """Spearman correlation of score and return, and Epstein's (1969) ranked probability score as
    the M6 competition defines it (uniform: 0.16), by week."""
    correlations, losses = [], []
    outcome = fifths(result.weekly.returns)
    for place, week in enumerate(result.weeks):
        rows = common[place] & (outcome[week] >= 0)
        if rows.sum() < FEWEST:
            continue
        score_rank = _ranks(result.scores[week, rows])
        if np.isfinite(score_rank).all():
            returns = _ranks(result.weekly.returns[week, rows])
            correlations.append(float(np.corrcoef(score_rank, returns)[0, 1]))
        happened = np.eye(FIFTHS)[outcome[week, rows]]
        difference = np.cumsum(result.fifths[week, rows] - happened, axis=1)
        losses.append(float((difference**2).sum(axis=1).mean() / FIFTHS))
    if len(losses) < 2:
        return None
    series = np.array(correlations)
    return {
        "weeks": float(len(losses)),
        "rank_ic": float(series.mean()) if len(series) else float("nan"),
        "rank_ic_t": newey_west_t(series),
        "ranked_probability_score": float(np.mean(losses)),
        "ranked_probability_score_uniform": 0.16,
        "ranked_probability_score_t": newey_west_t(0.16 - np.array(losses)),
    }


def _ranks(values: Floats) -> Floats:
    return np.asarray(cross_rank(values[None, :])[0])
