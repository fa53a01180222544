"""The record of past forecasts, week by week, and what of it should worry: drift.

Each pool has a record of its own, as it has a champion of its own: hundreds of shares would hide
what goes wrong with four metals. Weeks are the sample: forecasts of one week share its market, so
that a band around a mean of all forecasts would be far too narrow. Drawing is in plots_record.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from stock_platform.ml.features import Floats
from stock_platform.ml.metrics import newey_west_error
from stock_platform.ml.pools import POOLS
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
"""Of a pool."""
POOL = "transform(listed.asset_class, {classes:Array(String)}, {pools:Array(String)}, '')"
POOL_PARAMETERS = {"classes": list(POOLS), "pools": list(POOLS.values())}


@dataclass(frozen=True)
class Record:
    """Scored forecasts five sessions ahead of one pool, kind and backtest.

    Attributes:
        weeks: week (Monday), forecasts, pinball_loss, baseline_pinball_loss, coverage_80; in order.
        calibration: level of a quantile, and share of actuals below it.
    """

    weeks: pl.DataFrame
    calibration: pl.DataFrame


@dataclass(frozen=True)
class Finding:
    """A number of one pool that is watched.

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


def read_records(client: Any, kind: str, backtest_name: str) -> dict[str, Record]:
    """Pool -> its record in the accuracy mart; pools of which nothing has matured are not there."""
    named = {"kind": kind, "name": backtest_name, **POOL_PARAMETERS}
    chosen = "horizon = 5 AND kind = {kind:String} AND backtest_name = {name:String}"
    weeks = client.query_arrow(
        f"SELECT {POOL} AS pool, toMonday(origin_session) AS week, count() AS forecasts,"  # noqa: S608
        " avg(pinball_loss) AS pinball_loss, avg(baseline_pinball_loss) AS baseline_pinball_loss,"
        " avg(is_inside_80) AS coverage_80 FROM market.fct_forecast_accuracy AS scored"
        " INNER JOIN market.dim_instrument AS listed"
        " ON scored.instrument_id = listed.instrument_id"
        f" WHERE {chosen} GROUP BY pool, week ORDER BY pool, week",
        parameters=named,
    )
    shares = ", ".join(f"avg(scored.actual < issued.{name})" for name in COLUMN_NAMES)
    below = client.query(
        f"SELECT {POOL} AS pool, {shares} FROM market.forecasts AS issued INNER JOIN"  # noqa: S608
        " (SELECT forecast_id, actual FROM market.fct_forecast_accuracy"
        f" WHERE {chosen}) AS scored ON issued.forecast_id = scored.forecast_id"
        " INNER JOIN market.dim_instrument AS listed"
        " ON issued.instrument_id = listed.instrument_id GROUP BY pool",
        parameters=named,
    ).result_rows
    frame = pl.DataFrame(pl.from_arrow(weeks)).with_columns(
        pl.col("week").cast(pl.Date), pl.col("pool").cast(pl.String)
    )
    levels = {pool: np.array(found, dtype=np.float64) for pool, *found in below}
    return {
        str(pool): Record(
            part.drop("pool"), pl.DataFrame({"level": PROBABILITIES, "share": levels[str(pool)]})
        )
        for (pool,), part in frame.partition_by("pool", as_dict=True, maintain_order=True).items()
    }


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


def finding_table(findings: Mapping[str, Finding]) -> pl.DataFrame:
    """A row per pool: pool, weeks, value, low, high, holds; those that don't hold first."""
    rows = [
        {
            "pool": pool,
            "weeks": found.weeks,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "holds": found.holds,
        }
        for pool, found in findings.items()
    ]
    return pl.DataFrame(rows).sort("holds", "pool") if rows else pl.DataFrame()


def told(findings: Mapping[str, Finding]) -> str:
    """What was found of every pool, for a person; those that don't hold first."""
    ordered = sorted(findings.items(), key=lambda item: (item[1].holds, item[0]))
    return "; ".join(f"{pool}: {found.text}" for pool, found in ordered) or (
        "no forecast has matured yet"
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
    """Stability index of features in each pool, on the last sessions of weeks: the last
    RECENT_WEEKS against the REFERENCE_WEEKS before, of at most MOST_INSTRUMENTS instruments; and
    the largest that as many weeks before had against the rest of the reference.

    Returns:
        pool, feature, index, usual, shifted; the most shifted first. No rows of a pool without
        enough weeks.
    """
    rows = client.query_arrow(
        f"SELECT {POOL} AS pool, toMonday(session) AS week, {', '.join(features)}"  # noqa: S608
        " FROM market.fct_features_daily AS listed"
        " WHERE session > (SELECT max(session) FROM market.fct_features_daily) - {days:UInt32}"
        " AND (calendar, session) IN (SELECT calendar, max(session)"
        " FROM market.reference_sessions GROUP BY calendar, toMonday(session))"
        " AND instrument_id IN (SELECT instrument_id FROM market.dim_instrument AS listed"
        f" ORDER BY cityHash64(instrument_id) LIMIT {{most:UInt32}} BY {POOL})",
        parameters={
            "days": 7 * (RECENT_WEEKS + REFERENCE_WEEKS),
            "most": MOST_INSTRUMENTS,
            **POOL_PARAMETERS,
        },
    )
    frame = pl.DataFrame(pl.from_arrow(rows)).with_columns(pl.col("pool").cast(pl.String))
    found = [
        {"pool": str(pool), **row}
        for (pool,), part in frame.partition_by("pool", as_dict=True).items()
        for row in _shifts(part, features)
    ]
    schema = {"pool": pl.String, "feature": pl.String, "index": pl.Float64, "usual": pl.Float64}
    table = pl.DataFrame(found, schema={**schema, "shifted": pl.Boolean})
    return table.fill_nan(None).sort(
        "index", "pool", "feature", descending=[True, False, False], nulls_last=True
    )


def _shifts(frame: pl.DataFrame, features: list[str]) -> list[dict[str, Any]]:
    """Of one pool: feature, index, usual, shifted."""
    weeks = frame["week"].unique().sort()
    if len(weeks) < 3 * RECENT_WEEKS:
        return []
    place = frame["week"].replace_strict(weeks, range(len(weeks)), return_dtype=pl.Int64)
    block = ((len(weeks) - 1 - place) // RECENT_WEEKS).to_numpy()  # 0: the last
    found = []
    for name in features:
        values = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        index, *before = block_indices(values, block)
        usual = max((one for one in before if np.isfinite(one)), default=float("nan"))
        shifted = index > SHIFTED and not index <= UNUSUAL * usual
        found.append({"feature": name, "index": index, "usual": usual, "shifted": shifted})
    return found


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
