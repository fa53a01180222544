{{ config(materialized='table', order_by=['kind', 'backtest_name', 'model_name']) }}
-- Rebuilt and swapped, see agg_accuracy_by_week. A model is scored on the weeks in which it was
-- champion, so two models' rows are of different weeks; candidates on equal weeks are in promotions.
SELECT
    kind,
    backtest_name,
    model_name,
    uniqExact(instrument_id) AS instruments,
    {{ accuracy_measures() }}
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, model_name
