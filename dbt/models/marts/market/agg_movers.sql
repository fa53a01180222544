{{ config(materialized='view') }}
-- A view: of 20 million bars it reads the dates and the last year's prices, a fraction of a second.
-- Changes are of the split-adjusted close, counted in the instrument's own bars.
SELECT
    recent.instrument_id AS instrument_id,
    instruments.symbol AS symbol,
    instruments.name AS name,
    instruments.asset_class AS asset_class,
    instruments.sector AS sector,
    instruments.currency AS currency,
    recent.bars[1].1 AS session,
    recent.bars[1].3 AS close_traded,
    recent.bars[1].4 AS volume_traded,
    recent.bars[1].3 * recent.bars[1].4 AS turnover
    {%- for sessions in [1, 5, 22, 250] %},
    if(
        length(recent.bars) > {{ sessions }},
        100 * (recent.bars[1].2 / nullIf(recent.bars[{{ sessions + 1 }}].2, 0) - 1),
        NULL
    ) AS change_{{ sessions }}_percent
    {%- endfor %}
FROM (
    SELECT
        instrument_id,
        arrayReverseSort(groupArray((session, close * split_factor, close, volume))) AS bars
    FROM {{ ref('int_daily_prices') }}
    -- 251 bars lie within 400 days, longer halts of trading aside.
    WHERE session > (SELECT max(session) FROM {{ ref('int_daily_prices') }}) - 400
    GROUP BY instrument_id
) AS recent
INNER JOIN {{ ref('dim_instrument') }} AS instruments ON recent.instrument_id = instruments.instrument_id
