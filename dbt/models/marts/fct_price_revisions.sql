{{ config(materialized='table', order_by=['instrument_id', 'session', 'known_at']) }}
-- Each time the provider said something else about a bar that was final already. The lake stores
-- prices as traded, so a split changes none of them: a move by exactly a split's ratio means that a
-- payload on another basis got past the source, and is told apart as `rebasing`.
SELECT
    changes.instrument_id AS instrument_id,
    changes.symbol AS symbol,
    changes.session AS session,
    changes.known_at AS known_at,
    changes.known_before_at AS known_before_at,
    if(
        arrayExists(ratio -> abs(changes.close / changes.close_before / ratio - 1) < 1e-3, splits.ratios),
        'rebasing', 'revision'
    ) AS kind,
    changes.close_before AS close_before,
    changes.close AS close_after,
    changes.close / changes.close_before - 1 AS close_change,
    changes.largest_price_change AS largest_price_change,
    changes.volume_before AS volume_before,
    changes.volume AS volume_after,
    changes.currency AS currency,
    changes.source AS source
FROM (
    SELECT
        *,
        lagInFrame(known_at) OVER earlier AS known_before_at,
        lagInFrame(close) OVER earlier AS close_before,
        lagInFrame(volume) OVER earlier AS volume_before,
        greatest(
            abs(open / lagInFrame(open) OVER earlier - 1),
            abs(high / lagInFrame(high) OVER earlier - 1),
            abs(low / lagInFrame(low) OVER earlier - 1),
            abs(close / lagInFrame(close) OVER earlier - 1)
        ) AS largest_price_change,
        row_number() OVER earlier AS version
    FROM {{ ref('stg_equity_prices') }}
    WHERE source = '{{ active_source() }}' AND finality = 'final'
    WINDOW earlier AS (
        PARTITION BY source, instrument_id, session ORDER BY known_at
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
) AS changes
LEFT JOIN (
    SELECT instrument_id, arrayConcat(groupUniqArray(value), groupUniqArray(1 / value)) AS ratios
    FROM {{ ref('stg_corporate_actions') }}
    WHERE source = '{{ active_source() }}' AND action = 'split'
    GROUP BY instrument_id
) AS splits ON changes.instrument_id = splits.instrument_id
WHERE changes.version > 1
