{{ config(materialized='view') }}
-- What a chart of long histories reads: weeks, with the names and classes that people filter by.
SELECT
    weeks.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    instruments.sector AS sector,
    weeks.currency AS currency,
    weeks.week AS week,
    weeks.close_adjusted AS close_adjusted,
    weeks.volume_adjusted AS volume_adjusted,
    weeks.close_traded * weeks.volume_traded AS turnover
FROM {{ ref('fct_weekly_prices') }} AS weeks
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON weeks.instrument_id = instruments.instrument_id
