{{ config(
    materialized='lake_append',
    dataset='fx_rates',
    order_by=['source', 'instrument_id', 'session', 'known_at'],
) }}
-- Appended object by object: the materialization reads those of the dataset that are not here yet.
-- depends_on: {{ source('platform', 'lake_objects') }}
SELECT *
FROM {{ source('lake', 'fx_rates') }}
