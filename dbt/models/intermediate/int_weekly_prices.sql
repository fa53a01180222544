{{ config(
    materialized='continued',
    order_by=['symbol', 'instrument_id', 'week'],
    reads=['int_daily_prices', 'dim_session'],
    projections=[{
        'name': 'latest_factors',
        'query': 'SELECT instrument_id, argMax(split_factor, week), argMax(total_return_factor, week)'
            ~ ' GROUP BY instrument_id',
    }],
) }}
-- Continued from the first month in which int_daily_prices was. `session` is the Sunday: no bar of a
-- week comes after it, so whatever changes a week's row changes it from that month on.
--
-- Sorted by ticker, by which people ask. The projection holds what fct_weekly_prices adjusts to: at
-- 4.1 M weeks one instrument's history takes 45 ms; reading the factors from the table alone took 160.
--
-- A split inside the week puts its days on two bases: all are told in shares of the last session's
-- (macros/weekly.sql), so that open and close compare and the high is not the old basis's.
SELECT
    weeks.instrument_id AS instrument_id,
    weeks.symbol AS symbol,
    weeks.week AS week,
    weeks.sunday AS session,
    weeks.first_session AS first_session,
    weeks.last_session AS last_session,
    weeks.sessions AS sessions,
    toUInt8(calendars.sessions) AS expected_sessions,
    weeks.open AS open,
    weeks.high AS high,
    weeks.low AS low,
    weeks.close AS close,
    weeks.volume AS volume,
    weeks.split_factor AS split_factor,
    weeks.total_return_factor AS total_return_factor,
    weeks.price_index AS price_index,
    weeks.log_return AS log_return,
    weeks.currency AS currency,
    weeks.source AS source,
    weeks.known_at AS known_at,
    weeks.available_at AS available_at
FROM (
    SELECT
        bars.instrument_id AS instrument_id,
        toLowCardinality(argMax(bars.symbol, bars.session)) AS symbol,
        toMonday(bars.session) AS week,
        week + 6 AS sunday,
        min(bars.session) AS first_session,
        max(bars.session) AS last_session,
        toUInt8(count()) AS sessions,
        {{ weekly_price('open', 'argMin') }} AS open,
        {{ weekly_price('high', 'max') }} AS high,
        {{ weekly_price('low', 'min') }} AS low,
        {{ weekly_price('close', 'argMax') }} AS close,
        {{ weekly_volume() }} AS volume,
        argMax(bars.split_factor, bars.session) AS split_factor,
        argMax(bars.total_return_factor, bars.session) AS total_return_factor,
        argMax(bars.price_index, bars.session) AS price_index,
        -- The first day's own return reaches back to the last close of an earlier week.
        if(
            min(bars.bar_number) = 1,
            NULL,
            log(price_index / argMin(bars.price_index, bars.session))
            + argMin(assumeNotNull(bars.log_return), bars.session)
        ) AS log_return,
        toLowCardinality(argMax(bars.currency, bars.session)) AS currency,
        toLowCardinality(argMax(bars.source, bars.session)) AS source,
        max(bars.known_at) AS known_at,
        max(bars.available_at) AS available_at
    FROM {{ ref('int_daily_prices') }} AS bars
    WHERE bars.session >= toMonday({{ since() }}) AND bars.session < {{ until() }}
    GROUP BY bars.instrument_id, week
) AS weeks
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON weeks.instrument_id = instruments.instrument_id
INNER JOIN (
    SELECT
        calendar,
        week,
        count() AS sessions
    FROM {{ ref('dim_session') }}
    GROUP BY calendar, week
) AS calendars
    ON instruments.calendar = calendars.calendar AND weeks.week = calendars.week
WHERE weeks.sunday >= {{ since() }} AND weeks.sunday < {{ until() }}
