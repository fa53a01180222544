{{ config(materialized='table', order_by=['kind', 'backtest_name', 'horizon']) }}
-- Rebuilt and swapped, see agg_accuracy_by_week.
SELECT
    kind,
    backtest_name,
    horizon,
    uniqExact(instrument_id) AS instruments,
    {{ accuracy_measures() }}
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, horizon
