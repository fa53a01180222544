{{ config(materialized='table', order_by=['instrument_id', 'session']) }}
-- In USD through the rate valid on the same day, else the latest before it: a price valid from a day
-- was made with the rate valid from that day, and both hold until replaced. Rebuilt and swapped.
SELECT
    metals.instrument_id AS instrument_id,
    metals.metal AS metal,
    metals.session AS session,
    (metals.buy + metals.sell) / 2 AS price_rub_per_gram,
    nullIf(usd.rate, 0) AS rub_per_usd,
    if(usd.rate = 0, NULL, usd.session) AS usd_rate_session,
    price_rub_per_gram / rub_per_usd * 31.1034768 AS price_usd_per_troy_ounce,
    log(price_rub_per_gram / nullIf(lagInFrame(price_rub_per_gram) OVER earlier, 0)) AS log_return_rub,
    log(price_usd_per_troy_ounce / lagInFrame(price_usd_per_troy_ounce) OVER earlier) AS log_return_usd,
    metals.source AS source,
    metals.finality AS finality,
    greatest(metals.known_at, usd.known_at) AS known_at,
    greatest(metals.available_at, usd.available_at) AS available_at,
    toLowCardinality(
        if(usd.available_at > metals.available_at, usd.availability, metals.availability)
    ) AS availability
FROM (
    {{ as_of(ref('stg_metal_prices'), ['source', 'instrument_id', 'session'], as_of_moment(), as_of_clock()) }}
) AS metals
LEFT ASOF JOIN (
    SELECT *
    FROM (
        {{ as_of(ref('stg_fx_rates'), ['source', 'instrument_id', 'session'], as_of_moment(), as_of_clock()) }}
    )
    WHERE quoted_currency = 'USD' AND currency = 'RUB'
) AS usd
    ON metals.source = usd.source AND metals.session >= usd.session
WHERE metals.currency = 'RUB'
WINDOW earlier AS (
    PARTITION BY metals.source, metals.instrument_id ORDER BY metals.session
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
