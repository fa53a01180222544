{{ config(materialized='table', order_by=['calendar', 'session']) }}
-- The same as of any moment: calendars are published ahead, and no price is in them.
SELECT
    calendar,
    session,
    session_number,
    open_at,
    close_at,
    toMonday(session) AS week,
    toBool(session = max(session) OVER (PARTITION BY calendar, week)) AS is_last_of_week
FROM {{ source('platform', 'reference_sessions') }}
