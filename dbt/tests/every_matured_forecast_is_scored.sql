{{ config(tags=['accuracy']) }}
-- Backtest keys whose target has a final bar are all in the mart, once each.
SELECT ledger.instrument_id AS instrument_id, ledger.origin_session AS origin_session, ledger.horizon AS horizon
FROM {{ source('platform', 'forecasts') }} AS ledger
WHERE
    ledger.role = 'champion'
    AND ledger.kind = 'backtest'
    AND ledger.source = '{{ active_source() }}'
    AND (ledger.instrument_id, ledger.target_session) IN (
        SELECT (instrument_id, session) FROM {{ ref('int_daily_prices') }}
    )
    AND (ledger.backtest_name, ledger.instrument_id, ledger.origin_session, ledger.horizon) NOT IN (
        SELECT (backtest_name, instrument_id, origin_session, horizon)
        FROM {{ ref('fct_forecast_accuracy') }}
        WHERE kind = 'backtest'
    )
