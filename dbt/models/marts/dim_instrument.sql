{{ config(materialized='table', order_by='instrument_id') }}
SELECT
    instrument_id,
    symbol,
    name,
    asset_class,
    calendar,
    currency,
    sector,
    first_session,
    last_session
FROM {{ source('platform', 'reference_instruments') }}
WHERE source = '{{ active_source() }}'
