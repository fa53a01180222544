{{ config(materialized='view', tags=['features']) }}
-- A parameterised view: the bars of the wide model as they could be read at a moment in the past, with
-- the factors known then (macros/adjust.sql). Parameters as of int_features_as_of.
{%- set named = "CAST({clock:String}, 'Enum8(\\'known_at\\' = 1, \\'available_at\\' = 2)')" %}
{%- set clock = "if(" ~ named ~ " = 'known_at', known_at, available_at)" %}
SELECT
    instrument_id,
    session,
    open,
    high,
    low,
    close,
    volume,
    split_factor,
    total_return_factor
FROM ({{ daily_prices("{as_of:DateTime64(6, 'UTC')}", clock) }})
