"""Questions about one instrument, as things stand now or as they stood at a moment.

A `Moment` goes through the parameterised views and the clocks of docs/warehouse.md: nothing of what
came later is read then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from stock_platform.lake import as_of
from stock_platform.lake.schema import CORPORATE_ACTIONS
from stock_platform.pages.reading import Query


@dataclass(frozen=True)
class Moment:
    """The end of a day, UTC, and whose knowledge counts.

    Attributes:
        day: the day.
        clock: `available_at` (the world's) or `known_at` (this platform's).
    """

    day: date
    clock: as_of.Clock

    @property
    def parameters(self) -> dict[str, str]:
        """What the queries bind: `as_of` (the day's last microsecond, UTC) and `clock`."""
        last = datetime.combine(self.day, time.max, UTC)
        return {"as_of": f"{last:%Y-%m-%d %H:%M:%S.%f}", "clock": self.clock}

    @property
    def issued(self) -> str:
        """Condition on a row of the forecast ledger: it had been issued by then."""
        by_backtest = "if(kind = 'backtest', as_of, issued_at)"
        return f"AND {'issued_at' if self.clock == 'known_at' else by_backtest} <= {_AT}"

    @property
    def decided(self) -> str:
        """Condition on a row of the promotion ledger: it had been decided by then."""
        return f"AND {'decided_at' if self.clock == 'known_at' else 'data_as_of'} <= {_AT}"


_AT = "{as_of:DateTime64(6, 'UTC')}"
QUANTILES = ("q025", "q10", "q25", "q50", "q75", "q90", "q975")


def instruments() -> Query:
    """Every instrument, by ticker."""
    return Query(
        "SELECT instrument_id, symbol, name, asset_class, calendar, currency, sector,"
        " first_session, last_session FROM dim_instrument ORDER BY symbol, instrument_id"
    )


# Bars are sorted by ticker, and an instrument may have had several.
_BARS_NOW = """(
    SELECT * FROM int_daily_prices
    WHERE instrument_id = {id:String} AND symbol IN (
        SELECT DISTINCT symbol FROM fct_features_daily WHERE instrument_id = {id:String}
    )
)"""
_BARS_THEN = """(
    SELECT * FROM int_bars_as_of(as_of = {as_of:String}, clock = {clock:String})
    WHERE instrument_id = {id:String}
)"""


def history(instrument_id: str, moment: Moment | None = None) -> Query:
    """All sessions of an instrument: prices on each basis and volume.

    `split_basis` turns a price per share of that session into one per share of the last session
    (that was known then).
    """
    bars, known = (_BARS_THEN, moment.parameters) if moment else (_BARS_NOW, {})
    return Query(
        "SELECT session, split_factor / last_value(split_factor) OVER whole AS split_basis,"  # noqa: S608
        " open AS open_traded, high AS high_traded, low AS low_traded, close AS close_traded,"
        " volume AS volume_traded, open * split_basis AS open_adjusted,"
        " high * split_basis AS high_adjusted, low * split_basis AS low_adjusted,"
        " close * split_basis AS close_adjusted, volume / split_basis AS volume_adjusted,"
        " close * total_return_factor / last_value(total_return_factor) OVER whole"
        f" AS close_total_return FROM {bars}"
        " WINDOW whole AS (ORDER BY session"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY session",
        {"id": instrument_id, **known},
    )


def newest_forecast(source: str, instrument_id: str, moment: Moment | None = None) -> Query:
    """The last forecast: a row per horizon 1 to 5, by the champion that speaks.

    Prices are per share as of the origin.
    """
    issued, decided = (moment.issued, moment.decided) if moment else ("", "")
    chosen = (
        "FROM forecasts WHERE source = {source:String} AND kind IN ('live', 'backtest')"
        f" AND instrument_id = {{id:String}} AND role = 'champion' {issued}"
    )
    return Query(
        f"SELECT origin_session, target_session, horizon, kind, backtest_name, model_name,"  # noqa: S608
        f" model_version, code_version, forecast_id, issued_at, as_of, currency, origin_price,"
        f" {', '.join(QUANTILES)}, mean, p_up {chosen}"
        f" AND origin_session = (SELECT max(origin_session) {chosen})"
        " ORDER BY horizon, kind = 'live' DESC, model_digest IN ("
        " SELECT argMax(model_digest, (data_as_of, decided_at, decision_id)) FROM promotions"
        f" WHERE source = {{source:String}} {decided} GROUP BY pool"
        ") DESC, issued_at DESC LIMIT 1 BY horizon",
        {"source": source, "id": instrument_id, **(moment.parameters if moment else {})},
    )


def newest_week(source: str) -> Query:
    """Monday of the newest week that has any forecast, as `week`; NULL without one."""
    return Query(
        "SELECT toMonday(maxOrNull(origin_session)) AS week, count() AS forecasts FROM forecasts"
        " WHERE source = {source:String} AND role = 'champion'",
        {"source": source},
    )


def last_bar(instrument_id: str) -> Query:
    """What decides whether a forecast can be made: the last bar, the bars before it, its week.

    `has_features` is false where bars of the last 250 sessions are missing.
    """
    return Query(
        "SELECT bar.session AS session, bar.history_sessions AS history_sessions,"
        " isNotNull(bar.feature_vol_250) AS has_features, sessions.week AS week,"
        " sessions.is_last_of_week AS is_last_of_week"
        " FROM (SELECT * FROM fct_features_daily WHERE instrument_id = {id:String}"
        " ORDER BY session DESC LIMIT 1) AS bar"
        " INNER JOIN dim_session AS sessions"
        " ON bar.calendar = sessions.calendar AND bar.session = sessions.session",
        {"id": instrument_id},
    )


def records() -> Query:
    """Every record of scored forecasts; live ones and each backtest stand apart."""
    return Query(
        "SELECT kind, backtest_name, sum(forecasts) AS forecasts, count() AS weeks,"
        " min(first_origin) AS first_origin, max(last_origin) AS last_origin"
        " FROM agg_accuracy_by_week GROUP BY kind, backtest_name"
        " ORDER BY kind = 'live' DESC, last_origin DESC, backtest_name"
    )


def scored(
    source: str,
    record: tuple[str, str],
    instrument_id: str,
    horizon: int,
    moment: Moment | None = None,
) -> Query:
    """Past forecasts of an instrument with what happened; prices per share as of the origin.

    As of a moment: those issued, and matured, by then. What happened is as known now.
    """
    issued, matured, known = "", "", {}
    if moment:
        issued, known = moment.issued, moment.parameters
        matured = f"AND actual_known_at <= {_AT}" if moment.clock == "known_at" else ""
    return Query(
        "SELECT scored.*, issued.* EXCEPT (forecast_id) FROM ("  # noqa: S608
        " SELECT forecast_id, origin_session, target_session, model_name, origin_price, median,"
        " actual, p_up, is_up, is_inside_50, is_inside_80, is_inside_95, absolute_error,"
        " baseline_absolute_error, pinball_loss, baseline_pinball_loss"
        " FROM fct_forecast_accuracy WHERE kind = {kind:String} AND backtest_name = {name:String}"
        f" AND instrument_id = {{id:String}} AND horizon = {{horizon:UInt8}} {matured}) AS scored"
        " INNER JOIN (SELECT forecast_id, q025, q10, q25, q75, q90, q975 FROM forecasts"
        " WHERE source = {source:String} AND kind = {kind:String}"
        f" AND instrument_id = {{id:String}} AND role = 'champion' {issued}) AS issued"
        " ON scored.forecast_id = issued.forecast_id ORDER BY origin_session",
        {
            "source": source,
            "kind": record[0],
            "name": record[1],
            "id": instrument_id,
            "horizon": horizon,
            **known,
        },
    )


def by_horizon(record: tuple[str, str], instrument_id: str) -> Query:
    """How forecasts of an instrument did, by sessions ahead; skill is of sums."""
    return Query(
        "SELECT horizon, count() AS forecasts,"
        " 1 - avg(pinball_loss) / avg(baseline_pinball_loss) AS skill,"
        # Of prices on the share basis of several origins only fractions can be averaged.
        " avg(absolute_error / actual) AS mape,"
        " avg(baseline_absolute_error / actual) AS baseline_mape, avg(is_inside_50) AS coverage_50,"
        " avg(is_inside_80) AS coverage_80, avg(is_inside_95) AS coverage_95,"
        " avg((p_up > 0.5) = is_up) AS direction"
        " FROM fct_forecast_accuracy WHERE kind = {kind:String} AND backtest_name = {name:String}"
        " AND instrument_id = {id:String} GROUP BY horizon ORDER BY horizon",
        {"kind": record[0], "name": record[1], "id": instrument_id},
    )


def actions(source: str, instrument_id: str, moment: Moment | None = None) -> Query:
    """Splits and payments by ex-date, the newest first."""
    if moment is None:
        return Query(
            "SELECT session, action, value, unit, currency, previous_close, relative_size,"
            " available_at, known_at FROM fct_corporate_actions"
            " WHERE instrument_id = {id:String} ORDER BY session DESC, action",
            {"id": instrument_id},
        )
    known = as_of.render(
        "(SELECT * FROM stg_corporate_actions"
        " WHERE source = {source:String} AND instrument_id = {id:String})",
        CORPORATE_ACTIONS.key,
        _AT,
        moment.clock,
    )
    return Query(
        "SELECT session, action, value, if(action = 'split', 'new shares per old',"  # noqa: S608
        f" 'currency per share') AS unit, currency, available_at, known_at FROM ({known})"
        " ORDER BY session DESC, action",
        {"source": source, "id": instrument_id, **moment.parameters},
    )


def sessions(calendar: str) -> Query:
    """Sessions of a calendar in order, up to those of the source's last targets."""
    return Query(
        "SELECT session, close_at FROM dim_session WHERE calendar = {calendar:String}"
        " ORDER BY session",
        {"calendar": calendar},
    )


def span(calendar: str) -> Query:
    """First and last session of which the shares of a calendar have bars; NULL without any."""
    return Query(
        "SELECT minOrNull(session) AS first, maxOrNull(session) AS last FROM agg_market_overview"
        " WHERE calendar = {calendar:String} AND sector = ''",
        {"calendar": calendar},
    )


def reasons(source: str, instrument_id: str) -> Query:
    """Why sessions have no bar (`row_ref` ''), and quarantined rows, as known now."""
    return Query(
        "SELECT session, row_ref, argMax(reason, known_at) AS reason,"
        " argMax(field, known_at) AS field, argMax(value, known_at) AS value,"
        " argMax(detail, known_at) AS detail FROM stg_coverage"
        " WHERE source = {source:String} AND instrument_id = {id:String}"
        " GROUP BY session, row_ref ORDER BY session DESC, row_ref",
        {"source": source, "id": instrument_id},
    )
