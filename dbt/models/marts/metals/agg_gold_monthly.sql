{{ config(materialized='table', order_by=['source', 'metal', 'month']) }}
-- Rebuilt and swapped: four metals make 48 rows a year. Named after the first of them; silver,
-- platinum and palladium are told the same way. The change of a month is from the last price of the
-- month before, so that changes of months follow each other without a day lost.
SELECT
    *,
    {{ change_of_month('rub_per_gram') }},
    {{ change_of_month('usd_per_troy_ounce') }}
FROM (
    SELECT
        source,
        instrument_id,
        toLowCardinality(any(metal)) AS metal,
        toStartOfMonth(session) AS month,
        count() AS prices,
        {{ month_of_prices('rub_per_gram') }},
        {{ month_of_prices('usd_per_troy_ounce', nullable=true) }}
    FROM {{ ref('agg_gold_daily') }}
    GROUP BY source, instrument_id, month
)
WINDOW earlier AS (
    PARTITION BY source, instrument_id ORDER BY month
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
