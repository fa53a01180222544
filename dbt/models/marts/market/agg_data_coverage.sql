{{ config(materialized='table', order_by=['instrument_id', 'quarter']) }}
-- Rebuilt and swapped: which instruments have the most gaps is chosen anew, and five years of quarters
-- are few rows. A heat map of a whole market would show nothing; these are the ones to look at.
WITH newest AS (
    SELECT max(session) AS session
    FROM {{ ref('int_daily_prices') }}
),

expected AS (
    SELECT
        instruments.instrument_id AS instrument_id,
        sessions.session AS session
    FROM {{ ref('dim_session') }} AS sessions
    INNER JOIN {{ ref('dim_instrument') }} AS instruments ON sessions.calendar = instruments.calendar
    WHERE
        sessions.session > (SELECT session FROM newest) - 5 * 365
        AND sessions.session <= (SELECT session FROM newest)
        AND sessions.session >= instruments.first_session
        AND sessions.session <= coalesce(instruments.last_session, (SELECT session FROM newest))
),

quarters AS (
    SELECT
        expected.instrument_id AS instrument_id,
        toStartOfQuarter(expected.session) AS quarter,
        count() AS expected_sessions,
        countIf(bars.session != toDate(0)) AS sessions_with_bar,
        countIf(bars.session = toDate(0) AND reasons.session != toDate(0)) AS sessions_explained
    FROM expected
    LEFT JOIN (
        SELECT
            instrument_id,
            session
        FROM {{ ref('int_daily_prices') }}
        WHERE session > (SELECT session FROM newest) - 5 * 365
    ) AS bars
        ON expected.instrument_id = bars.instrument_id AND expected.session = bars.session
    LEFT JOIN (
        SELECT DISTINCT
            instrument_id,
            session
        FROM {{ ref('stg_coverage') }}
        WHERE source = '{{ active_source() }}' AND row_ref = '' AND {{ known_then() }}
    ) AS reasons
        ON expected.instrument_id = reasons.instrument_id AND expected.session = reasons.session
    GROUP BY expected.instrument_id, quarter
)

SELECT
    quarters.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.asset_class AS asset_class,
    quarters.quarter AS quarter,
    quarters.expected_sessions AS expected_sessions,
    quarters.sessions_with_bar AS sessions_with_bar,
    quarters.sessions_explained AS sessions_explained
FROM quarters
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON quarters.instrument_id = instruments.instrument_id
WHERE quarters.instrument_id IN (
    SELECT totals.instrument_id
    FROM quarters AS totals
    GROUP BY totals.instrument_id
    ORDER BY sum(totals.sessions_with_bar) / sum(totals.expected_sessions) ASC, totals.instrument_id ASC
    LIMIT {{ var('coverage_instruments') }}
)
