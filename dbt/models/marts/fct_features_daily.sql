{{ config(
    materialized='continued',
    order_by=['instrument_id', 'session'],
    reads=['int_daily_prices', 'reference_instruments', 'reference_sessions'],
    tags=['features'],
) }}
-- Continued from the first month in which int_daily_prices was.
{%- set market -%}
(
    SELECT *
    FROM {{ ref('int_daily_prices') }}
    WHERE session >= {{ first_session_for(250) }} AND session < {{ until() }}
)
{%- endset %}
{{ features(bars_for(250), market, since()) }}
