-- G5: in every session that was loaded, every instrument expected then has a final bar or a reason.
SELECT
    instruments.instrument_id AS instrument_id,
    sessions.session AS session
FROM {{ ref('dim_instrument') }} AS instruments
INNER JOIN {{ ref('dim_session') }} AS sessions ON instruments.calendar = sessions.calendar
WHERE
    sessions.session >= instruments.first_session
    AND sessions.session <= coalesce(instruments.last_session, sessions.session)
    AND sessions.session IN (
        SELECT session
        FROM {{ source('platform', 'lake_objects') }}
        WHERE source = '{{ active_source() }}' AND dataset IN ('equity_prices', 'coverage')
    )
    AND (instruments.instrument_id, sessions.session) NOT IN (
        SELECT (instrument_id, session) FROM {{ ref('int_daily_prices') }}
    )
    AND (instruments.instrument_id, sessions.session) NOT IN (
        SELECT (instrument_id, session)
        FROM {{ ref('stg_coverage') }}
        WHERE source = '{{ active_source() }}' AND reason != ''
    )
