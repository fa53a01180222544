-- G5: in every session that was loaded, every instrument expected then has a final bar or a reason.
SELECT
    instruments.instrument_id AS instrument_id,
    sessions.session AS session
FROM {{ ref('dim_instrument') }} AS instruments
INNER JOIN {{ ref('dim_session') }} AS sessions ON instruments.calendar = sessions.calendar
WHERE
    sessions.session >= instruments.first_session
    AND sessions.session <= coalesce(instruments.last_session, sessions.session)
    AND {{ known_then('sessions.close_at') }}
    AND sessions.session IN (
        SELECT session
        FROM {{ ref('stg_equity_prices') }}
        WHERE source = '{{ active_source() }}' AND {{ known_then() }}
        UNION DISTINCT
        -- A quarantined row (row_ref) may stand under a day on which nothing was loaded.
        SELECT session
        FROM {{ ref('stg_coverage') }}
        WHERE source = '{{ active_source() }}' AND row_ref = '' AND {{ known_then() }}
    )
    AND (instruments.instrument_id, sessions.session) NOT IN (
        SELECT (instrument_id, session) FROM {{ ref('int_daily_prices') }}
    )
    AND (instruments.instrument_id, sessions.session) NOT IN (
        SELECT (instrument_id, session)
        FROM {{ ref('stg_coverage') }}
        WHERE source = '{{ active_source() }}' AND reason != '' AND {{ known_then() }}
    )
