{{ config(materialized='view', tags=['features']) }}
-- A parameterised view: the features as they could be computed at a moment in the past,
--   SELECT ... FROM int_features_as_of(as_of = '2013-03-01 21:20:00', clock = 'available_at')
-- with `clock` known_at (live decisions) or available_at (backtests); any other name is an error.
{%- set named = "CAST({clock:String}, 'Enum8(\\'known_at\\' = 1, \\'available_at\\' = 2)')" %}
{%- set clock = "if(" ~ named ~ " = 'known_at', known_at, available_at)" %}
{%- set prices = "(" ~ daily_prices("{as_of:DateTime64(6, 'UTC')}", clock) ~ ")" %}
{{ features(prices, prices) }}
