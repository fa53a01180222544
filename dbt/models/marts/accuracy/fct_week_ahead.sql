{{ config(materialized='view') }}
-- The newest forecast of each instrument, all five horizons. After a rollback a week may hold the rows
-- of two models: the one promoted last speaks. A forecast that was refused is not there.
{%- set speaks %}
    SELECT argMax(model_digest, (data_as_of, decided_at, decision_id))
    FROM {{ source('platform', 'promotions') }}
    WHERE source = '{{ active_source() }}' AND {{ known_then(decides_from()) }}
    GROUP BY pool
{%- endset %}
SELECT
    newest.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    newest.kind AS kind,
    newest.model_name AS model_name,
    newest.origin_session AS origin_session,
    newest.target_session AS target_session,
    newest.horizon AS horizon,
    newest.currency AS currency,
    newest.origin_price AS origin_price,
    newest.q50 AS median,
    newest.q25 AS low_50,
    newest.q75 AS high_50,
    newest.q10 AS low_80,
    newest.q90 AS high_80,
    newest.q025 AS low_95,
    newest.q975 AS high_95,
    newest.p_up AS p_up,
    records.scored AS scored_forecasts,
    if(records.scored > 0, records.skill, NULL) AS skill
FROM (
    SELECT ledger.*
    FROM {{ source('platform', 'forecasts') }} AS ledger
    WHERE
        ledger.source = '{{ active_source() }}'
        AND ledger.role = 'champion'
        AND {{ known_then(counts_from('ledger')) }}
        -- A forecast of a share that has not traded for a month is no forecast of next week.
        AND ledger.origin_session > (
            SELECT max(issued.origin_session)
            FROM {{ source('platform', 'forecasts') }} AS issued
            WHERE issued.source = '{{ active_source() }}' AND {{ known_then(counts_from('issued')) }}
        ) - 28
    ORDER BY
        ledger.origin_session DESC,
        ledger.kind = 'live' DESC,
        ledger.model_digest IN ({{ speaks }}) DESC,
        ledger.issued_at DESC,
        ledger.forecast_id ASC
    LIMIT 1 BY ledger.instrument_id, ledger.horizon -- noqa: LT02
) AS newest
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON newest.instrument_id = instruments.instrument_id
LEFT JOIN (
    SELECT
        instrument_id,
        kind,
        count() AS scored,
        1 - {{ exact_mean('pinball_loss') }} / nullIf({{ exact_mean('baseline_pinball_loss') }}, 0) AS skill
    FROM {{ ref('fct_forecast_scores') }}
    WHERE horizon = 5
    GROUP BY instrument_id, kind
) AS records
    ON newest.instrument_id = records.instrument_id AND newest.kind = records.kind
