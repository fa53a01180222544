{{ config(materialized='table', order_by=['kind', 'backtest_name', 'instrument_id', 'model_name', 'horizon']) }}
-- How a model did on an instrument so far. Skill is of the sums, not the mean of rows' skills: one
-- quiet week must not outweigh the rest.
SELECT
    kind,
    backtest_name,
    instrument_id,
    any(symbol) AS symbol,
    model_name,
    horizon,
    any(currency) AS currency,
    count() AS forecasts,
    min(origin_session) AS first_origin,
    max(origin_session) AS last_origin,
    avg(absolute_error) AS mae,
    sqrt(avg(error * error)) AS rmse,
    avg(absolute_percentage_error) AS mape,
    avg(is_inside_50) AS coverage_50,
    avg(is_inside_80) AS coverage_80,
    avg(is_inside_95) AS coverage_95,
    avg(pinball_loss) AS pinball_loss,
    avg(baseline_absolute_error) AS baseline_mae,
    avg(baseline_pinball_loss) AS baseline_pinball_loss,
    1 - sum(forecast.pinball_loss) / nullIf(sum(forecast.baseline_pinball_loss), 0) AS skill
FROM {{ ref('fct_forecast_accuracy') }} AS forecast
GROUP BY kind, backtest_name, instrument_id, model_name, horizon
