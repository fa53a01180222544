{{ config(materialized='view') }}
-- The promotion ledger of the active source, as people read it.
SELECT
    decided_at,
    data_as_of,
    pool,
    action,
    model_name,
    model_version,
    challenger_name,
    previous_name,
    actor,
    reason
FROM {{ source('platform', 'promotions') }}
WHERE source = '{{ active_source() }}' AND {{ known_then(decides_from()) }}
