{{ config(materialized='table', order_by=['instrument_id', 'session']) }}
-- Rebuilt whole and swapped: a few hundred rows per currency and year.
SELECT
    instrument_id,
    quoted_currency,
    session,
    rate,
    nominal,
    log(rate / nullIf(lagInFrame(rate) OVER earlier, 0)) AS log_return,
    currency,
    source,
    finality,
    known_at,
    available_at,
    availability
FROM ({{ as_of(ref('stg_fx_rates'), ['source', 'instrument_id', 'session'], as_of_moment(), as_of_clock()) }})
WINDOW earlier AS (
    PARTITION BY source, instrument_id ORDER BY session
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
