{{ config(materialized='view') }}
-- A series per instrument: 40 sessions of closes, then the forecast of the five to come. Closes are on
-- the share basis of the origin, as the ledger's prices are. At the origin every quantile is the close,
-- so that the fan opens where the line ends.
WITH ahead AS (
    SELECT *
    FROM {{ ref('fct_week_ahead') }}
),

origins AS (
    SELECT DISTINCT
        instrument_id,
        symbol,
        asset_class,
        model_name,
        kind,
        currency,
        origin_session,
        origin_price
    FROM ahead
    WHERE horizon = 5
)

SELECT
    origins.instrument_id AS instrument_id,
    origins.symbol AS symbol,
    origins.asset_class AS asset_class,
    origins.model_name AS model_name,
    origins.kind AS kind,
    origins.currency AS currency,
    bars.session AS session,
    toNullable(bars.close * bars.split_factor / bars.origin_split_factor) AS close,
    if(bars.session = origins.origin_session, toNullable(origins.origin_price), NULL) AS median,
    median AS low_50,
    median AS high_50,
    median AS low_80,
    median AS high_80,
    median AS low_95,
    median AS high_95
FROM (
    SELECT
        prices.instrument_id AS instrument_id,
        prices.session AS session,
        prices.close AS close,
        prices.split_factor AS split_factor,
        first_value(prices.split_factor) OVER newest_first AS origin_split_factor
    FROM {{ ref('int_daily_prices') }} AS prices
    INNER JOIN origins AS ends ON prices.instrument_id = ends.instrument_id
    WHERE
        prices.session <= ends.origin_session
        AND prices.session > (SELECT min(earliest.origin_session) FROM origins AS earliest) - 80
    WINDOW newest_first AS (PARTITION BY prices.instrument_id ORDER BY prices.session DESC)
    ORDER BY prices.instrument_id ASC, prices.session DESC
    LIMIT 40 BY prices.instrument_id -- noqa: LT02
) AS bars
INNER JOIN origins ON bars.instrument_id = origins.instrument_id
UNION ALL
SELECT
    instrument_id,
    symbol,
    asset_class,
    model_name,
    kind,
    currency,
    target_session AS session,
    NULL AS close,
    median,
    low_50,
    high_50,
    low_80,
    high_80,
    low_95,
    high_95
FROM ahead
