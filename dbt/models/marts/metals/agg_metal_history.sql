{{ config(materialized='view') }}
-- Every metal and month of the market's history. A month without an official price is a row that says
-- so: a chart of it is an empty stretch with a reason beside it, and not a chart that is missing.
SELECT
    grid.metal.1 AS metal,
    grid.metal.2 AS name,
    grid.month AS month,
    nullIf(prices.last_rub_per_gram, 0) AS price_rub_per_gram,
    prices.change_rub_percent AS change_rub_percent,
    prices.last_usd_per_troy_ounce AS price_usd_per_troy_ounce,
    prices.change_usd_percent AS change_usd_percent,
    if(
        prices.last_rub_per_gram > 0,
        'official price',
        'no official price was loaded: the Central Bank of Russia goes with SOURCE=yahoo'
    ) AS state
FROM (
    SELECT
        month,
        arrayJoin([('XAU', 'Gold'), ('XAG', 'Silver'), ('XPT', 'Platinum'), ('XPD', 'Palladium')]) AS metal
    FROM (
        SELECT DISTINCT toStartOfMonth(session) AS month
        FROM {{ ref('dim_session') }}
        WHERE session <= (SELECT max(session) FROM {{ ref('int_daily_prices') }})
        UNION DISTINCT
        SELECT month
        FROM {{ ref('agg_gold_monthly') }}
    )
) AS grid
LEFT JOIN (
    -- Should two sources give a price, the month is told by one of them.
    SELECT *
    FROM {{ ref('agg_gold_monthly') }}
    ORDER BY source
    LIMIT 1 BY metal, month -- noqa: LT02
) AS prices
    ON grid.metal.1 = prices.metal AND grid.month = prices.month
