{{ config(materialized='view') }}
-- What charts of risk read: the last three years of agg_volatility, with the names and classes that
-- people filter by.
SELECT
    risk.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    instruments.sector AS sector,
    risk.session AS session,
    risk.volatility_22 AS volatility_22,
    risk.drawdown_250 AS drawdown_250,
    risk.beta_250 AS beta_250
FROM {{ ref('agg_volatility') }} AS risk
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON risk.instrument_id = instruments.instrument_id
WHERE risk.session > (SELECT max(session) FROM {{ ref('agg_volatility') }}) - 3 * 365
