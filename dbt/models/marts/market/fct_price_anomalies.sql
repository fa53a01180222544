{{ config(
    materialized='continued',
    order_by=['session', 'instrument_id', 'kind'],
    reads=['int_daily_prices'],
) }}
-- Continued from the first month in which int_daily_prices was, with the 12 months before.
--
-- Robust z-score: distance from the instrument's own median in median absolute deviations (x 1.4826,
-- which makes it the standard deviation of normal values). A mean and a deviation over all would be
-- moved by the very rows looked for, and would call a quiet share's jump ordinary.
--
-- The reference of a row is the instrument's 12 calendar months before the row's month, never the row
-- itself or anything later. It is one per month because a median has no running form: windows per
-- row would sort 250 values 60 million times at 20 million bars. Here the values of a month are
-- gathered once, the reference is 12 such arrays, and what lies beyond is picked from the month's own:
-- 43 s for 20 million bars, about one for a new session.
SELECT
    instrument_id,
    symbol,
    beyond.1 AS session,
    kind,
    beyond.2 AS value,
    median,
    mad,
    beyond.3 AS z,
    length(reference) AS observations
FROM (
    SELECT
        *,
        arrayReduce('quantileExactInclusive(0.5)', reference) AS median,
        arrayReduce('quantileExactInclusive(0.5)', arrayMap(x -> abs(x - median), reference)) AS mad,
        arrayJoin(arrayFilter(
            row -> abs(row.3) >= {{ var('anomaly_threshold') }},
            arrayMap(row -> (row.1, row.2, (row.2 - median) / (1.4826 * mad)), of_month)
        )) AS beyond
    FROM (
        SELECT
            *,
            groupArrayArray(of_month.2) OVER earlier_months AS reference
        FROM (
            SELECT
                instrument_id,
                kind,
                toStartOfMonth(session) AS month,
                toLowCardinality(argMax(symbol, session)) AS symbol,
                groupArray((session, assumeNotNull(value))) AS of_month
            FROM (
                SELECT
                    instrument_id,
                    symbol,
                    session,
                    toLowCardinality(figure.1) AS kind,
                    figure.2 AS value
                FROM {{ ref('int_daily_prices') }}
                ARRAY JOIN
                    [
                        ('return', log_return),
                        ('gap', log_return + log(open / close)),
                        ('volume', if(volume > 0, log(volume / split_factor), NULL))
                    ] AS figure
                WHERE session >= subtractMonths(toDate32({{ since() }}), 12) AND session < {{ until() }}
            )
            WHERE value IS NOT NULL
            GROUP BY instrument_id, kind, month
        )
        WINDOW earlier_months AS (
            PARTITION BY instrument_id, kind ORDER BY toRelativeMonthNum(month)
            RANGE BETWEEN 12 PRECEDING AND 1 PRECEDING
        )
    )
    -- Half or more of the reference equal leaves no scale to measure by.
    WHERE month >= {{ since() }} AND length(reference) >= {{ var('anomaly_observations') }} AND mad > 0
)
