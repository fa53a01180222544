-- Across every ex-date of a split the adjusted return is an ordinary one. Three quarters of
-- |ln ratio| or more means that the split is upside down, doubled, or not in the traded prices.
SELECT
    prices.instrument_id AS instrument_id,
    prices.session AS session,
    prices.log_return AS log_return,
    log(prices.split_factor / prices.previous_factor) AS log_ratio
FROM (
    SELECT
        instrument_id,
        session,
        log_return,
        split_factor,
        lagInFrame(split_factor, 1, 1.0) OVER (
            PARTITION BY instrument_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS previous_factor
    FROM {{ ref('int_daily_prices') }}
) AS prices
WHERE
    prices.split_factor != prices.previous_factor
    AND abs(prices.log_return) > greatest(0.75 * abs(log_ratio), 0.2)
