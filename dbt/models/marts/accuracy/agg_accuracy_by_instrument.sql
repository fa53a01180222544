{{ config(materialized='table', order_by=['kind', 'backtest_name', 'instrument_id']) }}
-- Rebuilt and swapped, see agg_accuracy_by_week.
SELECT
    kind,
    backtest_name,
    instrument_id,
    argMax(symbol, origin_session) AS symbol,
    {{ accuracy_measures() }}
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, instrument_id
