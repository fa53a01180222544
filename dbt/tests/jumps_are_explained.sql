{{ config(severity='warn') }}
-- An adjusted close that halves or doubles overnight, within 3 % of the log of a common split ratio:
-- a split that the ledger of corporate actions lacks, as far as prices can tell. A warning, because
-- a price can fall by half without one.
SELECT instrument_id, session, log_return
FROM {{ ref('int_daily_prices') }}
WHERE
    abs(log_return) > 0.6
    AND arrayExists(
        ratio -> abs(abs(log_return) - log(ratio)) < 0.03,
        [2, 3, 4, 5, 7, 10, 15, 20]
    )
