-- Every split and every payment inside an instrument's history is in its factors: the product of
-- the ratios equals the last split factor, a payment raises the total-return factor.
WITH spans AS (
    SELECT
        instrument_id,
        min(session) AS first_bar,
        max(session) AS last_bar,
        argMax(split_factor, session) AS split_factor,
        argMax(total_return_factor, session) AS total_return_factor
    FROM {{ ref('int_daily_prices') }}
    GROUP BY instrument_id
),

actions AS ({{ as_of(
    "(SELECT * FROM " ~ ref('stg_corporate_actions') ~ " WHERE source = '" ~ active_source() ~ "')",
    ['source', 'instrument_id', 'session', 'action'],
    as_of_moment(),
    as_of_clock(),
) }}),

expected AS (
    SELECT
        spans.instrument_id AS instrument_id,
        any(spans.split_factor) AS split_factor,
        any(spans.total_return_factor) AS total_return_factor,
        arrayProduct(
            arrayPushBack(groupArrayIf(actions.value, actions.action = 'split'), 1.0)
        ) AS expected_split_factor,
        -- A payment of 0 is one that the provider took back.
        countIf(actions.action != 'split' AND actions.value > 0) AS payments
    FROM spans
    INNER JOIN actions ON spans.instrument_id = actions.instrument_id
    WHERE actions.session > spans.first_bar AND actions.session <= spans.last_bar
    GROUP BY spans.instrument_id
)

SELECT *
FROM expected
WHERE
    abs(split_factor / expected_split_factor - 1) > 1e-9
    OR total_return_factor < split_factor * (1 - 1e-9)
    OR (payments > 0 AND total_return_factor <= split_factor)
