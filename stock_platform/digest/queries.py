"""What the digest asks the warehouse. Weeks are named by their Monday."""

NEWEST_WEEK = """
SELECT toMonday(maxOrNull(origin_session)) FROM forecasts
WHERE source = {source:String} AND role = 'champion'
"""

RECORD = """
SELECT kind, backtest_name AS name, toUnixTimestamp64Micro(max(as_of)) AS as_of FROM forecasts
WHERE source = {source:String} AND role = 'champion' AND toMonday(origin_session) = {week:Date}
GROUP BY kind, backtest_name
ORDER BY kind = 'live' DESC, max(issued_at) DESC LIMIT 1
"""
"""The record that speaks for the week: the live one, or the backtest issued last."""

FORECASTS = """
SELECT f.instrument_id AS instrument_id, f.symbol AS symbol, i.asset_class AS asset_class,
       f.model_name AS model,
       f.origin_session AS origin, f.target_session AS target, f.currency AS currency,
       f.origin_price AS price, f.q025 AS q025, f.q10 AS q10, f.q50 AS median, f.q90 AS q90,
       f.q975 AS q975, f.p_up AS p_up, (f.q90 - f.q10) / f.origin_price AS width
FROM forecasts AS f
LEFT JOIN dim_instrument AS i ON f.instrument_id = i.instrument_id
WHERE f.source = {source:String} AND f.role = 'champion' AND f.horizon = 5
  AND f.kind = {kind:String} AND f.backtest_name = {name:String}
  AND toMonday(f.origin_session) = {week:Date}
-- After a rollback the week may hold two models' rows: the one that speaks comes first.
ORDER BY f.symbol, f.instrument_id, f.model_digest IN (
    SELECT argMax(model_digest, (data_as_of, decided_at, decision_id)) FROM promotions
    WHERE source = {source:String} AND toUnixTimestamp64Micro(data_as_of) <= {as_of:Int64}
    GROUP BY pool
) DESC, f.issued_at DESC
LIMIT 1 BY f.instrument_id
"""
"""Forecasts five sessions ahead; prices per share as of the origin, `width` of the 80 % interval as
a fraction of the price."""

EXPECTED = """
SELECT instrument_id, symbol FROM dim_instrument
WHERE asset_class IN {classes:Array(String)} AND first_session <= {last:Date}
  AND coalesce(last_session, toDate('2149-06-06')) >= {last:Date}
ORDER BY symbol, instrument_id
"""
"""Instruments that trade on the day `last`, of the asset classes."""

MATURED = """
SELECT symbol, origin_session AS origin, target_session AS target, currency, median, actual,
       is_inside_50, is_inside_80, is_inside_95, pinball_loss, baseline_pinball_loss,
       origin_price
FROM fct_forecast_accuracy
WHERE kind = {kind:String} AND backtest_name = {name:String} AND horizon = 5
  AND toMonday(target_session) = {week:Date}
ORDER BY abs(log(actual / median)) DESC, symbol
"""
"""Forecasts whose target lies in the week; the largest misses first."""

WEEKLY = """
SELECT toMonday(origin_session) AS week, count() AS forecasts, avg(pinball_loss) AS pinball_loss,
       avg(baseline_pinball_loss) AS baseline_pinball_loss, avg(is_inside_80) AS coverage_80
FROM fct_forecast_accuracy
WHERE kind = {kind:String} AND backtest_name = {name:String} AND horizon = 5
  AND target_session < {week:Date} + 7
GROUP BY week ORDER BY week
"""
"""The record up to the end of the week."""

CHAMPIONS = """
SELECT pool, argMax(model_name, (data_as_of, decided_at, decision_id)) AS model,
       argMax(model_version, (data_as_of, decided_at, decision_id)) AS version
FROM promotions
WHERE source = {source:String} AND toUnixTimestamp64Micro(data_as_of) <= {as_of:Int64}
GROUP BY pool ORDER BY pool
"""
"""Who spoke when the week was forecast."""

DECISIONS = """
SELECT pool, action, model_name AS model, challenger_name AS challenger, actor, reason
FROM promotions
WHERE source = {source:String} AND toMonday(toDate(data_as_of, 'UTC')) = {week:Date}
ORDER BY data_as_of, decided_at, decision_id
"""

ABSENT = """
SELECT expected.symbol AS symbol, expected.session AS session,
       if(told.reason = '', 'no reason on record', toString(told.reason)) AS what
FROM (
    SELECT i.instrument_id AS instrument_id, i.symbol AS symbol, s.session AS session
    FROM dim_instrument AS i
    INNER JOIN dim_session AS s ON i.calendar = s.calendar
    WHERE s.week = {week:Date} AND s.session >= i.first_session
      AND s.session <= least(coalesce(i.last_session, toDate('2149-06-06')), {last:Date})
) AS expected
LEFT JOIN (
    SELECT instrument_id, session, argMax(reason, known_at) AS reason FROM stg_coverage
    WHERE source = {source:String} AND row_ref = '' AND toMonday(session) = {week:Date}
    GROUP BY instrument_id, session
) AS told ON expected.instrument_id = told.instrument_id AND expected.session = told.session
WHERE (expected.instrument_id, expected.session) NOT IN (
    SELECT instrument_id, session FROM int_daily_prices
    WHERE session BETWEEN {week:Date} AND {week:Date} + 6
) AND told.reason != 'closed'
ORDER BY session, symbol
"""
"""Sessions of the week up to `last` that should have a bar and have none, with the reason."""

QUARANTINED = """
SELECT symbol, session, concat(argMax(field, known_at), ' ', argMax(value, known_at), ': ',
       argMax(detail, known_at)) AS what
FROM stg_coverage
WHERE source = {source:String} AND row_ref != '' AND toMonday(session) = {week:Date}
GROUP BY symbol, session, row_ref ORDER BY session, symbol, row_ref
"""

REVISED = """
SELECT symbol, session, concat(figure, ' ', toString(value_before), ' became ',
       toString(value_after), if(kind = 'rebasing', ' (re-based by a split)', '')) AS what
FROM fct_price_revisions WHERE toMonday(toDate(known_at, 'UTC')) = {week:Date}
ORDER BY largest_change DESC, symbol, session, figure
"""

UNUSUAL = """
SELECT symbol, session, concat(kind, ' ', toString(round(abs(z))),
       ' robust deviations ', if(z > 0, 'above', 'below'), ' its usual') AS what
FROM fct_price_anomalies WHERE session BETWEEN {week:Date} AND {week:Date} + 6
ORDER BY abs(z) DESC, symbol, session
"""

ACTIONS = """
SELECT symbol, session, concat(action, ' of ', toString(value), ' ',
       if(action = 'split', unit, concat(currency, ' per share'))) AS what
FROM fct_corporate_actions WHERE session BETWEEN {week:Date} AND {week:Date} + 6
ORDER BY session, symbol, action
"""
