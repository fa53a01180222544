{{ config(materialized='view') }}
-- A view: the table below stores traded prices and factors anchored at the first session, so a new
-- split changes what is adjusted without rewriting a row.
SELECT
    prices.instrument_id AS instrument_id,
    prices.symbol AS symbol,
    prices.session AS session,
    prices.open AS open_traded,
    prices.high AS high_traded,
    prices.low AS low_traded,
    prices.close AS close_traded,
    prices.volume AS volume_traded,
    prices.open * prices.split_factor / latest.split_factor AS open_adjusted,
    prices.high * prices.split_factor / latest.split_factor AS high_adjusted,
    prices.low * prices.split_factor / latest.split_factor AS low_adjusted,
    prices.close * prices.split_factor / latest.split_factor AS close_adjusted,
    prices.volume * latest.split_factor / prices.split_factor AS volume_adjusted,
    prices.close * prices.total_return_factor / latest.total_return_factor AS close_total_return,
    prices.log_return AS log_return,
    prices.split_factor AS split_factor,
    prices.total_return_factor AS total_return_factor,
    prices.currency AS currency,
    prices.source AS source,
    prices.finality AS finality,
    prices.known_at AS known_at,
    prices.available_at AS available_at,
    prices.availability AS availability
FROM {{ ref('int_daily_prices') }} AS prices
INNER JOIN (
    SELECT
        instrument_id,
        argMax(split_factor, session) AS split_factor,
        argMax(total_return_factor, session) AS total_return_factor
    FROM {{ ref('int_daily_prices') }}
    GROUP BY instrument_id
) AS latest ON prices.instrument_id = latest.instrument_id
