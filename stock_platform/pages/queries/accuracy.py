"""Questions about the record of past forecasts: of one kind and one backtest, never of two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.record import MOST_INSTRUMENTS
from stock_platform.pages.reading import Query


@dataclass(frozen=True)
class Part:
    """A part of a record.

    Attributes:
        kind: live or backtest.
        name: of the backtest; '' of live forecasts.
        horizon: sessions ahead, 1 to 5.
        model: '' is all.
        instrument_id: '' is all.
    """

    kind: str
    name: str
    horizon: int
    model: str = ""
    instrument_id: str = ""

    @property
    def where(self) -> str:
        """Condition on `fct_forecast_accuracy`, by its sort key first."""
        wanted = "kind = {kind:String} AND backtest_name = {name:String}"
        wanted += " AND instrument_id = {instrument:String}" if self.instrument_id else ""
        wanted += " AND model_name = {model:String}" if self.model else ""
        return wanted

    @property
    def parameters(self) -> dict[str, Any]:
        """What the condition binds."""
        return {
            "kind": self.kind,
            "name": self.name,
            "horizon": self.horizon,
            "model": self.model,
            "instrument": self.instrument_id,
        }


_MEANS = (
    "count() AS forecasts, avg(pinball_loss) AS pinball_loss,"
    " avg(baseline_pinball_loss) AS baseline_pinball_loss, avg(is_inside_50) AS coverage_50,"
    " avg(is_inside_80) AS coverage_80, avg(is_inside_95) AS coverage_95"
)


def models() -> Query:
    """Models by record."""
    return Query(
        "SELECT kind, backtest_name, model_name, forecasts FROM agg_accuracy_by_model"
        " ORDER BY kind, backtest_name, model_name"
    )


def weekly(part: Part) -> Query:
    """Mean losses and coverage by week (Monday of the origin), in order."""
    return Query(
        f"SELECT toMonday(origin_session) AS week, {_MEANS} FROM fct_forecast_accuracy"  # noqa: S608
        f" WHERE {part.where} AND horizon = {{horizon:UInt8}} GROUP BY week ORDER BY week",
        part.parameters,
    )


def weekly_by(part: Part, key: str) -> Query:
    """The same for each `key`: horizon (any) or model_name."""
    horizon = "" if key == "horizon" else "AND horizon = {horizon:UInt8}"
    return Query(
        f"SELECT toString({key}) AS key, toMonday(origin_session) AS week, {_MEANS}"  # noqa: S608
        f" FROM fct_forecast_accuracy WHERE {part.where} {horizon}"
        " GROUP BY key, week ORDER BY key, week",
        part.parameters,
    )


def by_instrument(part: Part) -> Query:
    """Skill of each instrument with its standard error over weeks.

    An instrument has one forecast a week and horizon, so its weeks are its rows.
    """
    return Query(
        "SELECT argMax(symbol, origin_session) AS symbol, instrument_id, count() AS weeks,"  # noqa: S608
        " 1 - avg(pinball_loss) / avg(baseline_pinball_loss) AS skill,"
        " stddevSamp(baseline_pinball_loss - pinball_loss) / sqrt(count())"
        " / avg(baseline_pinball_loss) AS skill_error,"
        " avg(absolute_percentage_error) AS mape, avg(is_inside_50) AS coverage_50,"
        " avg(is_inside_80) AS coverage_80, avg(is_inside_95) AS coverage_95"
        f" FROM fct_forecast_accuracy WHERE {part.where} AND horizon = {{horizon:UInt8}}"
        " GROUP BY instrument_id ORDER BY skill DESC, symbol",
        part.parameters,
    )


def calibration(source: str, part: Part) -> Query:
    """Share of outcomes below each quantile, in one row; of at most MOST_INSTRUMENTS instruments.

    The ledger has 22 numbers a row: of all instruments of a market that would be too much to read.
    """
    chosen = (
        "instrument_id IN (SELECT instrument_id FROM dim_instrument"  # noqa: S608
        f" ORDER BY cityHash64(instrument_id) LIMIT {MOST_INSTRUMENTS})"
    )
    shares = ", ".join(f"avg(scored.actual < issued.{name}) AS {name}" for name in COLUMN_NAMES)
    return Query(
        f"SELECT count() AS forecasts, uniqExact(issued.instrument_id) AS instruments, {shares}"  # noqa: S608
        f" FROM (SELECT forecast_id, instrument_id, {', '.join(COLUMN_NAMES)} FROM forecasts"
        " WHERE source = {source:String} AND kind = {kind:String} AND role = 'champion'"
        f" AND horizon = {{horizon:UInt8}} AND {chosen}) AS issued"
        " INNER JOIN (SELECT forecast_id, actual FROM fct_forecast_accuracy"
        f" WHERE {part.where} AND horizon = {{horizon:UInt8}} AND {chosen}) AS scored"
        " ON issued.forecast_id = scored.forecast_id",
        {"source": source, **part.parameters},
    )
