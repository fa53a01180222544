{{ config(tags=['accuracy']) }}
-- A champion's row without the random walk's for the same origin could not be scored.
-- depends_on: {{ ref('fct_forecast_accuracy') }}
SELECT champion.forecast_id AS forecast_id
FROM {{ source('platform', 'forecasts') }} AS champion
WHERE
    champion.role = 'champion'
    AND champion.source = '{{ active_source() }}'
    AND (champion.kind, champion.backtest_name, champion.instrument_id, champion.origin_session, champion.horizon)
    NOT IN (
        SELECT (kind, backtest_name, instrument_id, origin_session, horizon)
        FROM {{ source('platform', 'forecasts') }}
        WHERE role = 'baseline'
    )
