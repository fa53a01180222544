{{ config(materialized='view') }}
-- Below the quantile of level p lies a share p of actuals when forecasts are calibrated. Counted before
-- the levels are unfolded: few rows, however many forecasts.
SELECT
    counted.kind AS kind,
    counted.symbol AS symbol,
    counted.asset_class AS asset_class,
    counted.model_name AS model_name,
    counted.horizon AS horizon,
    counted.quarter AS quarter,
    step.1 AS level,
    sum(counted.forecasts) AS forecasts,
    -- The actual is below the n-th quantile when fewer than n are at or below it.
    sumIf(counted.forecasts, counted.quantiles_below < step.2) AS forecasts_below
FROM (
    SELECT
        kind,
        symbol,
        asset_class,
        model_name,
        horizon,
        toStartOfQuarter(week) AS quarter,
        quantiles_below,
        count() AS forecasts
    FROM {{ ref('fct_forecast_scores') }}
    GROUP BY kind, symbol, asset_class, model_name, horizon, quarter, quantiles_below
) AS counted
ARRAY JOIN arrayZip({{ quantile_levels() }}, arrayEnumerate({{ quantile_levels() }})) AS step
GROUP BY kind, symbol, asset_class, model_name, horizon, quarter, level
