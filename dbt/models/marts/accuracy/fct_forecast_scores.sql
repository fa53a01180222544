{{ config(materialized='view') }}
-- What charts of the record read: every live forecast scored, and those of the newest backtest (older
-- code's stay in fct_forecast_accuracy), with the names and classes that people filter by. A chart
-- shows one kind at a time: live and backtest are never averaged together.
SELECT
    scored.kind AS kind,
    scored.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    toMonday(scored.origin_session) AS week,
    scored.origin_session AS origin_session,
    scored.target_session AS target_session,
    scored.horizon AS horizon,
    scored.model_name AS model_name,
    scored.currency AS currency,
    scored.actual AS actual,
    scored.median AS median,
    scored.low_50 AS low_50,
    scored.high_50 AS high_50,
    scored.low_80 AS low_80,
    scored.high_80 AS high_80,
    scored.low_95 AS low_95,
    scored.high_95 AS high_95,
    scored.p_up AS p_up,
    scored.is_up AS is_up,
    scored.is_inside_50 AS is_inside_50,
    scored.is_inside_80 AS is_inside_80,
    scored.is_inside_95 AS is_inside_95,
    scored.quantiles_below AS quantiles_below,
    scored.absolute_percentage_error AS absolute_percentage_error,
    100 * scored.baseline_absolute_error / scored.actual AS baseline_absolute_percentage_error,
    scored.pinball_loss AS pinball_loss,
    scored.baseline_pinball_loss AS baseline_pinball_loss
FROM {{ ref('fct_forecast_accuracy') }} AS scored
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON scored.instrument_id = instruments.instrument_id
WHERE
    scored.kind = 'live'
    OR scored.backtest_name = (
        SELECT argMax(backtest_name, (issued_at, backtest_name))
        FROM {{ ref('fct_forecast_accuracy') }}
        WHERE kind = 'backtest'
    )
