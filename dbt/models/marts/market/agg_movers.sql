{{ config(materialized='view') }}
-- A view: of 20 million bars it reads the dates and the last year's prices, a fraction of a second.
-- Changes are of the split-adjusted close, counted in the instrument's own bars; an element beyond the
-- end of an array is 0, which is no price.
SELECT
    recent.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    instruments.sector AS sector,
    instruments.currency AS currency,
    recent.sessions[1] AS session,
    recent.closes[1] AS close_traded,
    recent.volumes[1] AS volume_traded,
    close_traded * volume_traded AS turnover,
    100 * (recent.adjusted[1] / nullIf(recent.adjusted[2], 0) - 1) AS change_1_percent,
    100 * (recent.adjusted[1] / nullIf(recent.adjusted[6], 0) - 1) AS change_5_percent,
    100 * (recent.adjusted[1] / nullIf(recent.adjusted[23], 0) - 1) AS change_22_percent,
    100 * (recent.adjusted[1] / nullIf(recent.adjusted[251], 0) - 1) AS change_250_percent
FROM (
    SELECT
        instrument_id,
        arrayReverseSort(groupArray((session, close * split_factor, close, volume))) AS bars,
        bars.1 AS sessions,
        bars.2 AS adjusted,
        bars.3 AS closes,
        bars.4 AS volumes
    FROM {{ ref('int_daily_prices') }}
    -- 251 bars lie within 400 days, longer halts of trading aside.
    WHERE session > (SELECT max(session) FROM {{ ref('int_daily_prices') }}) - 400
    GROUP BY instrument_id
    -- What has not traded for a week is no mover of today.
    HAVING max(session) > (SELECT max(session) FROM {{ ref('int_daily_prices') }}) - 7
) AS recent
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON recent.instrument_id = instruments.instrument_id
