{{ config(materialized='table', order_by=['instrument_id', 'session']) }}
-- Rebuilt whole and swapped: a late split changes the factors of every later session of its
-- instrument, and one table keeps prices and factors from ever being read out of step.
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
    split_factor,
    total_return_factor,
    price_index,
    log_return
FROM ({{ daily_prices(as_of_moment(), as_of_clock()) }})
