{{ config(
    materialized='continued',
    order_by=['instrument_id', 'session'],
    reads=['stg_equity_prices', 'stg_corporate_actions', 'reference_instruments'],
) }}
-- Continued from the first month that has something new: a late split changes the factors of every
-- later session, and one table keeps prices and factors from ever being read out of step.
SELECT
    instrument_id,
    symbol,
    session,
    open,
    high,
    low,
    close,
    volume,
    currency,
    source,
    finality,
    known_at,
    available_at,
    availability,
    bar_number,
    split_factor,
    total_return_factor,
    price_index,
    log_return
FROM ({{ daily_prices(as_of_moment(), as_of_clock(), since(), until(), earlier_ends()) }})
