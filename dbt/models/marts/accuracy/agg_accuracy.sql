{{ config(materialized='table', order_by=['kind', 'backtest_name', 'instrument_id', 'model_name', 'horizon']) }}
-- How a model did on an instrument so far; the finest of the agg_accuracy*, and the only one whose
-- errors are also told in the instrument's currency. Rebuilt and swapped, see agg_accuracy_by_week.
SELECT
    kind,
    backtest_name,
    instrument_id,
    argMax(symbol, origin_session) AS symbol,
    model_name,
    horizon,
    argMax(currency, origin_session) AS currency,
    {{ exact_mean('forecast.absolute_error') }} AS mae,
    sqrt({{ exact_mean('forecast.error * forecast.error') }}) AS rmse,
    {{ exact_mean('forecast.baseline_absolute_error') }} AS baseline_mae,
    {{ accuracy_measures() }}
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, instrument_id, model_name, horizon
