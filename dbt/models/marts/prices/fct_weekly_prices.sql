{{ config(materialized='view') }}
-- A view, as fct_daily_prices is: a new split changes what is adjusted without rewriting a row.
SELECT
    weeks.instrument_id AS instrument_id,
    weeks.symbol AS symbol,
    weeks.week AS week,
    weeks.first_session AS first_session,
    weeks.last_session AS last_session,
    weeks.sessions AS sessions,
    toBool(weeks.sessions = weeks.expected_sessions) AS is_complete,
    weeks.open AS open_traded,
    weeks.high AS high_traded,
    weeks.low AS low_traded,
    weeks.close AS close_traded,
    weeks.volume AS volume_traded,
    weeks.close * weeks.split_factor / latest.split_factor AS close_adjusted,
    weeks.volume * latest.split_factor / weeks.split_factor AS volume_adjusted,
    weeks.close * weeks.total_return_factor / latest.total_return_factor AS close_total_return,
    weeks.log_return AS log_return,
    weeks.currency AS currency,
    weeks.source AS source,
    weeks.known_at AS known_at,
    weeks.available_at AS available_at
FROM {{ ref('int_weekly_prices') }} AS weeks
INNER JOIN (
    SELECT
        instrument_id,
        argMax(split_factor, week) AS split_factor,
        argMax(total_return_factor, week) AS total_return_factor
    FROM {{ ref('int_weekly_prices') }}
    GROUP BY instrument_id
) AS latest ON weeks.instrument_id = latest.instrument_id
