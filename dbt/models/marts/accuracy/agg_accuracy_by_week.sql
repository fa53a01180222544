{{ config(materialized='table', order_by=['kind', 'backtest_name', 'week']) }}
-- Rebuilt and swapped, as all agg_accuracy*: a restated bar changes scores of any week, and one pass
-- over the scored forecasts is cheap beside making them. Live and backtests are never mixed.
SELECT
    kind,
    backtest_name,
    toMonday(origin_session) AS week,
    uniqExact(instrument_id) AS instruments,
    {{ accuracy_measures() }}
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, week
