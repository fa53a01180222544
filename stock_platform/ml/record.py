"""The record of past forecasts, week by week, and what of it should worry: drift.

Weeks are the sample: forecasts of one week share its market, so that a band around a mean of all
forecasts would be far too narrow. Drawing is in plots_record.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.ml.features import Floats
from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.quantiles import COLUMN_NAMES, PROBABILITIES

COVERAGE_WEEKS = 26
SKILL_WEEKS = 52
NOMINAL = 0.8
BAND = 2.06
"""Standard errors on either side: 95 % of Student's t with the weeks of half a year."""
MIN_WEEKS = 26
"""Fewer weeks than this tell nothing."""
SHIFTED = 0.25
"""Population stability index from which a distribution may count as another one (the rule of thumb
of credit scoring, Siddiqi 2006)."""
UNUSUAL = 1.5
"""And the multiple of what half years before it had: instruments share their weeks, so that half a
year of any market is unlike five years, and the rule of thumb alone would ring for ever."""
RECENT_WEEKS, REFERENCE_WEEKS = 26, 260
MOST_INSTRUMENTS = 300


@dataclass(frozen=True)
class Record:
    """Scored forecasts five sessions ahead of one kind and backtest.

    Attributes:
        weeks: week (Monday), forecasts, pinball_loss, baseline_pinball_loss, coverage_80; in order.
        calibration: level of a quantile, and share of actuals below it.
    """

    weeks: pl.DataFrame
    calibration: pl.DataFrame


@dataclass(frozen=True)
class Finding:
    """A number that is watched.

    Attributes:
        value: what it is now; low, high: where it should be.
        weeks: how many it rests on.
        text: the same for a person.
    """

    value: float
    low: float
    high: float
    weeks: int
    text: str

    @property
    def holds(self) -> bool:
        """Whether the value is where it should be; an unknown one is."""
        return not (self.value < self.low or self.value > self.high)


def read_record(client: Any, kind: str, backtest_name: str) -> Record:
    """The record in the accuracy mart."""
    named = {"kind": kind, "name": backtest_name}
    chosen = "horizon = 5 AND kind = {kind:String} AND backtest_name = {name:String}"
    weeks = client.query_arrow(
        "SELECT toMonday(origin_session) AS week, count() AS forecasts,"  # noqa: S608
        " avg(pinball_loss) AS pinball_loss, avg(baseline_pinball_loss) AS baseline_pinball_loss,"
        " avg(is_inside_80) AS coverage_80 FROM market.fct_forecast_accuracy"
        f" WHERE {chosen} GROUP BY week ORDER BY week",
        parameters=named,
    )
    shares = ", ".join(f"avg(scored.actual < issued.{name})" for name in COLUMN_NAMES)
    below = client.query(
        f"SELECT {shares} FROM market.forecasts AS issued INNER JOIN"  # noqa: S608
        " (SELECT forecast_id, actual FROM market.fct_forecast_accuracy"
        f" WHERE {chosen}) AS scored ON issued.forecast_id = scored.forecast_id",
        parameters=named,
    ).result_rows[0]
    return Record(
        pl.DataFrame(pl.from_arrow(weeks)).with_columns(pl.col("week").cast(pl.Date)),
        pl.DataFrame({"level": PROBABILITIES, "share": np.array(below, dtype=np.float64)}),
    )


def coverage_drift(record: Record) -> Finding:
    """Whether the 80 % interval of the last COVERAGE_WEEKS still holds 80 %."""
    last = record.weeks["coverage_80"].tail(COVERAGE_WEEKS).to_numpy()
    if len(last) < MIN_WEEKS:
        return _too_early(len(last))
    value, error = _mean_and_error(last)
    low, high = NOMINAL - BAND * error, NOMINAL + BAND * error
    return Finding(
        value,
        low,
        high,
        len(last),
        f"the 80 % interval held {value:.1%} over {len(last)} weeks; {low:.1%} to {high:.1%} would "
        "be chance",
    )


def skill_drift(record: Record) -> Finding:
    """Whether the last SKILL_WEEKS were forecast worse than by the random walk."""
    last = record.weeks.tail(SKILL_WEEKS)
    if last.height < MIN_WEEKS:
        return _too_early(last.height)
    base = float(last["baseline_pinball_loss"].mean() or np.nan)  # type: ignore[arg-type]
    gained = (last["baseline_pinball_loss"] - last["pinball_loss"]).to_numpy() / base
    value, error = _mean_and_error(gained)
    return Finding(
        value,
        0.0,
        np.inf,
        len(last),
        f"skill {value:+.2%} (standard error {error:.2%}) against the random walk over the last "
        f"{len(last)} weeks",
    )


def _too_early(weeks: int) -> Finding:
    unknown = float("nan")
    text = f"{weeks} weeks have matured, {MIN_WEEKS} are needed to tell"
    return Finding(unknown, unknown, unknown, weeks, text)


def stability_index(recent: Floats, reference: Floats) -> float:
    """Population stability index of values (m,) against earlier ones (n,), over their deciles.

    Sum of (p - q) ln(p / q) with shares p, q in ten bins that hold a tenth of the reference each; 0
    for equal shares. NaN when either has no finite value.
    """
    recent, reference = recent[np.isfinite(recent)], reference[np.isfinite(reference)]
    if not len(recent) or not len(reference):
        return float("nan")
    edges = np.unique(np.quantile(reference, np.arange(0.1, 0.95, 0.1)))
    shares = []
    for values in (recent, reference):
        counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        shares.append((counts + 0.5) / (len(values) + 0.5 * len(counts)))
    now, before = shares
    return float(np.sum((now - before) * np.log(now / before)))


def feature_drift(client: Any, features: list[str]) -> pl.DataFrame:
    """Stability index of features on the last sessions of weeks: the last RECENT_WEEKS against the
    REFERENCE_WEEKS before, of at most MOST_INSTRUMENTS instruments; and the largest that as many
    weeks before had against the rest of the reference.

    Returns:
        feature, index, usual, shifted; the most shifted first. Empty without enough weeks.
    """
    rows = client.query_arrow(
        f"SELECT toMonday(session) AS week, {', '.join(features)}"  # noqa: S608
        " FROM market.fct_features_daily"
        " WHERE session > (SELECT max(session) FROM market.fct_features_daily) - {days:UInt32}"
        " AND (calendar, session) IN (SELECT calendar, max(session)"
        " FROM market.reference_sessions GROUP BY calendar, toMonday(session))"
        " AND instrument_id IN (SELECT instrument_id FROM market.dim_instrument"
        " ORDER BY cityHash64(instrument_id) LIMIT {most:UInt32})",
        parameters={
            "days": 7 * (RECENT_WEEKS + REFERENCE_WEEKS),
            "most": MOST_INSTRUMENTS,
        },
    )
    frame = pl.DataFrame(pl.from_arrow(rows))
    weeks = frame["week"].unique().sort()
    if len(weeks) < 3 * RECENT_WEEKS:
        return pl.DataFrame(schema=dict.fromkeys(("feature", "index", "usual"), pl.Float64))
    place = frame["week"].replace_strict(weeks, range(len(weeks)), return_dtype=pl.Int64)
    block = ((len(weeks) - 1 - place) // RECENT_WEEKS).to_numpy()  # 0: the last
    found = []
    for name in features:
        values = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        index, *before = block_indices(values, block)
        usual = max((one for one in before if np.isfinite(one)), default=float("nan"))
        shifted = index > SHIFTED and not index <= UNUSUAL * usual
        found.append({"feature": name, "index": index, "usual": usual, "shifted": shifted})
    return pl.DataFrame(found).fill_nan(None).sort("index", descending=True, nulls_last=True)


def block_indices(values: Floats, block: npt.NDArray[np.int64]) -> list[float]:
    """Stability index of each block of weeks (0 the last) against all others but the last."""
    past = block > 0
    return [
        stability_index(values[block == own], values[past & (block != own)])
        for own in range(int(block.max()) + 1)
        if (past & (block != own)).any()
    ]


def _mean_and_error(values: Floats) -> tuple[float, float]:
    """Mean of weekly values and its standard error; NaN without enough weeks."""
    if not len(values):
        return float("nan"), float("nan")
    return float(values.mean()), newey_west_error(values)
