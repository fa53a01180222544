{{ config(severity='warn') }}
-- Sessions between the first and the last loaded that no object of the lake speaks of. A warning:
-- loading single days is allowed, but whoever reads a return across the hole should know.
SELECT sessions.session AS session, sessions.calendar AS calendar
FROM {{ ref('dim_session') }} AS sessions
WHERE
    sessions.calendar IN (SELECT calendar FROM {{ ref('dim_instrument') }})
    AND sessions.session BETWEEN (
        SELECT min(session) FROM {{ ref('int_daily_prices') }}
    ) AND (
        SELECT max(session) FROM {{ ref('int_daily_prices') }}
    )
    AND sessions.session NOT IN (
        SELECT session
        FROM {{ source('platform', 'lake_objects') }}
        WHERE source = '{{ active_source() }}' AND dataset IN ('equity_prices', 'coverage')
    )
