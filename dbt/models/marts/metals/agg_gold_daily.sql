{{ config(materialized='view') }}
-- A view: four metals have some hundred rows a year. A change is against the price that held before,
-- which after a weekend is Saturday's: the bank's prices are valid from a day on.
SELECT
    source,
    instrument_id,
    metal,
    session,
    if(row_number() OVER earlier = 1, NULL, lagInFrame(session) OVER earlier) AS previous_session,
    price_rub_per_gram,
    price_rub_per_gram - lagInFrame(toNullable(price_rub_per_gram)) OVER earlier AS change_rub_per_gram,
    100 * change_rub_per_gram / (price_rub_per_gram - change_rub_per_gram) AS change_rub_percent,
    price_usd_per_troy_ounce,
    price_usd_per_troy_ounce - lagInFrame(price_usd_per_troy_ounce) OVER earlier AS change_usd_per_troy_ounce,
    100 * change_usd_per_troy_ounce / (price_usd_per_troy_ounce - change_usd_per_troy_ounce) AS change_usd_percent
FROM {{ ref('fct_metal_prices') }}
WINDOW earlier AS (
    PARTITION BY source, instrument_id ORDER BY session
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
