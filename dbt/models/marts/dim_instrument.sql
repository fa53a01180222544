{{ config(materialized='table', order_by='instrument_id') }}
-- As of a moment an instrument is there from its first session on, and nothing is known of its end
-- before that has come. The universe keeps no versions: names and sectors are always today's.
SELECT
    listed.instrument_id AS instrument_id,
    listed.symbol AS symbol,
    listed.name AS name,
    listed.asset_class AS asset_class,
    listed.calendar AS calendar,
    listed.currency AS currency,
    listed.sector AS sector,
    listed.first_session AS first_session,
    if({{ known_then('listed.last_session') }}, listed.last_session, NULL) AS last_session
FROM {{ source('platform', 'reference_instruments') }} AS listed
WHERE listed.source = '{{ active_source() }}' AND {{ known_then('listed.first_session') }}
