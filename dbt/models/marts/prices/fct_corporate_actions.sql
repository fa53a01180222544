{{ config(
    materialized='continued',
    order_by=['instrument_id', 'session', 'action'],
    reads=['stg_corporate_actions', 'int_daily_prices'],
) }}
-- Continued: an action's row needs nothing from after its ex-date, and from before it the last close
-- of a year at most. A close older than that says little of what the action did, and bounding the
-- search keeps the nightly build from reading 24 years of bars for a handful of rows.
{%- set actions -%}
(
    SELECT *
    FROM {{ ref('stg_corporate_actions') }}
    WHERE
        source = '{{ active_source() }}'
        AND session >= {{ since() }}
        AND session < {{ until() }}
        AND instrument_id IN (SELECT instrument_id FROM {{ ref('dim_instrument') }})
)
{%- endset %}
SELECT
    actions.instrument_id AS instrument_id,
    actions.symbol AS symbol,
    actions.session AS session,
    actions.action AS action,
    actions.value AS value,
    toLowCardinality(if(actions.action = 'split', 'new shares per old', 'currency per share')) AS unit,
    actions.currency AS currency,
    toBool((actions.instrument_id, actions.session) IN (
        SELECT (instrument_id, session)
        FROM {{ ref('int_daily_prices') }}
        WHERE session >= {{ since() }} AND session < {{ until() }}
    )) AS has_bar,
    if(bars.session >= actions.session - 366, bars.session, NULL) AS previous_session,
    if(previous_session IS NULL, NULL, bars.close) AS previous_close,
    -- A payment is per new share where a split falls on the same day, the close before is per old.
    if(actions.action = 'split', NULL, actions.value * actions.day_ratio / previous_close) AS relative_size,
    actions.source AS source,
    actions.known_at AS known_at,
    actions.available_at AS available_at,
    actions.availability AS availability
FROM (
    SELECT
        *,
        arrayProduct(arrayPushBack(
            groupArrayIf(value, action = 'split') OVER (PARTITION BY instrument_id, session), 1.0
        )) AS day_ratio
    FROM (
        {{ as_of(actions, ['source', 'instrument_id', 'session', 'action'], as_of_moment(), as_of_clock()) }}
    )
) AS actions
ASOF LEFT JOIN (
    SELECT
        instrument_id,
        session,
        close
    FROM {{ ref('int_daily_prices') }}
    WHERE session >= toDate32({{ since() }}) - 366 AND session < {{ until() }}
) AS bars
    ON actions.instrument_id = bars.instrument_id AND actions.session > bars.session
