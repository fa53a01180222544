-- A dividend or capital gain at or above the previous close: a misplaced decimal point or a wrong
-- share basis. macros/adjust.sql leaves it out of the total return, so it must be seen here.
SELECT actions.instrument_id AS instrument_id, actions.session AS session, actions.value AS value
FROM {{ ref('stg_corporate_actions') }} AS actions
ASOF JOIN {{ ref('int_daily_prices') }} AS prices
    ON actions.instrument_id = prices.instrument_id AND actions.session > prices.session
WHERE
    actions.source = '{{ active_source() }}'
    AND actions.action != 'split'
    AND actions.value >= prices.close
