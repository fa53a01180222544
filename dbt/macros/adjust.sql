{#-
    adjust: the one place where splits and dividends meet prices.

    Factors are cumulative and anchored at the instrument's first bar, so a new split or dividend
    appends a factor and changes no earlier row:
      split_factor         product of the split ratios with first bar < ex_date <= session
      total_return_factor  split_factor x product over the same ex-dates of 1 / (1 - cash / previous
                           close), cash and previous close on the same share basis: the payment is
                           reinvested at the previous close (the CRSP and Yahoo convention)
    price_index = close x split_factor is the price in shares of the first bar, so a split leaves no
    jump in it; close x split_factor(session) / split_factor(T) is the price in shares as of T.
    An ex-date without a bar takes effect on the next bar.

    bars     relation with one row per instrument and session (bar_columns)
    actions  relation with one row per instrument, ex-date (session) and action: value is the ratio
             new/old of a split, the amount per share as traded of a dividend or capital gain
    earlier  relation with rows this macro gave for earlier sessions, if `bars` are a continuation:
             of each instrument at least its first and its last row. The result is the same bits as
             with all bars at once.

    Adds bar_number (1 on the first bar), split_factor, total_return_factor, price_index, log_return
    (NULL on the first bar); available_at becomes the latest of the row's own and of every action in
    its factors.
-#}
{% macro adjust(bars, actions, earlier=none) -%}
SELECT
    {{ bar_columns() | reject('equalto', 'available_at') | join(', ') }},
    greatest(available_at, coalesce(actions_available_at, available_at)) AS available_at,
    number AS bar_number,
    cumulative_ratio / first_ratio AS split_factor,
    split_factor * exp(reinvested) AS total_return_factor,
    close * split_factor AS price_index,
    log(close_index / previous_index) AS log_return
FROM (
    SELECT
        *,
        toUInt32(sum(number_step) OVER so_far) AS number,
        sum(reinvested_step) OVER so_far AS reinvested
    FROM (
        SELECT
            *,
            coalesce(number_before - coalesce(number_last, 0), 1) AS number_step,
            -- A payment at or above the previous close is no dividend; dbt/tests names such rows.
            coalesce(
                if(
                    cumulative_cash - previous_cash < previous_index,
                    (cumulative_cash - previous_cash) / previous_index,
                    0
                ),
                0
            ) AS cash_ratio,
            coalesce(
                reinvested_before - coalesce(reinvested_last, 0),
                {{ payment_step('-log1p(-cash_ratio)') }}
            ) AS reinvested_step
        FROM (
            SELECT
                *,
                first_value(cumulative_ratio) OVER so_far AS first_ratio,
                lagInFrame(toNullable(close_index)) OVER so_far AS previous_index,
                lagInFrame(toNullable(cumulative_cash)) OVER so_far AS previous_cash,
                lagInFrame(number_before) OVER so_far AS number_last,
                lagInFrame(reinvested_before) OVER so_far AS reinvested_last
            FROM (
                SELECT
                    bars.*,
                    -- No action yet: 0 or NULL, depending on the reader's join_use_nulls.
                    coalesce(nullIf(steps.ratio, 0), 1.0) AS cumulative_ratio,
                    coalesce(steps.cash, 0.0) AS cumulative_cash,
                    nullIf(steps.latest_available_at, toDateTime64(0, 6, 'UTC')) AS actions_available_at,
                    bars.close * cumulative_ratio AS close_index
                FROM ({{ continued(bars, earlier) }}) AS bars
                ASOF LEFT JOIN ({{ action_steps(actions) }}) AS steps
                    ON bars.instrument_id = steps.instrument_id AND bars.session >= steps.ex_date
            )
            WINDOW so_far AS (
                PARTITION BY instrument_id ORDER BY session
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            )
        )
    )
    WINDOW so_far AS (
        PARTITION BY instrument_id ORDER BY session
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
{%- if earlier %}
WHERE number_before IS NULL
{%- endif %}
{%- endmacro %}


{#- What a bar is, in the order the marts show it. -#}
{% macro bar_columns() -%}
{{ return([
    'instrument_id', 'symbol', 'session', 'open', 'high', 'low', 'close', 'volume',
    'currency', 'source', 'finality', 'known_at', 'availability', 'available_at',
]) }}
{%- endmacro %}


{#- A step of the logarithm of reinvested payments, in multiples of 2^-44: sums of such numbers are
    exact in a float, and a sum is found again from total_return_factor / split_factor. -#}
{% macro payment_step(step) -%}
round(({{ step }}) * {{ 2 ** 44 }}.0) / {{ 2 ** 44 }}.0
{%- endmacro %}


{#- Bars, and before them the first and last earlier row of each instrument, which carry on what was
    counted so far (number_before, reinvested_before; NULL on the bars themselves). -#}
{% macro continued(bars, earlier) -%}
SELECT
    {{ bar_columns() | join(', ') }},
    CAST(NULL, 'Nullable(Int64)') AS number_before,
    CAST(NULL, 'Nullable(Float64)') AS reinvested_before
FROM {{ bars }}
{%- if earlier %}
UNION ALL
SELECT
    {{ bar_columns() | join(', ') }},
    toInt64(bar_number) AS number_before,
    {{ payment_step('log(total_return_factor / split_factor)') }} AS reinvested_before
FROM {{ earlier }}
{%- endif %}
{%- endmacro %}


{#- Per instrument and ex-date, what all actions up to it come to: product of split ratios, and
    payments in currency per share of the basis before the first action. -#}
{% macro action_steps(actions) -%}
SELECT
    instrument_id,
    ex_date,
    ratio,
    sum(day_cash * ratio) OVER so_far AS cash,
    max(day_available_at) OVER so_far AS latest_available_at
FROM (
    SELECT
        instrument_id,
        ex_date,
        day_cash,
        day_available_at,
        arrayProduct(groupArray(day_ratio) OVER (
            PARTITION BY instrument_id ORDER BY ex_date
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )) AS ratio
    FROM (
        SELECT
            instrument_id,
            session AS ex_date,
            arrayProduct(arrayPushBack(groupArrayIf(value, action = 'split'), 1.0)) AS day_ratio,
            sumIf(value, action IN ('dividend', 'capital_gain')) AS day_cash,
            max(available_at) AS day_available_at
        FROM {{ actions }}
        GROUP BY instrument_id, ex_date
    )
)
WINDOW so_far AS (
    PARTITION BY instrument_id ORDER BY ex_date
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
{%- endmacro %}


{#- Adjusted bars of the active source from the staging tables, as of `at` by `clock` (SQL
    expressions; `at` none: everything known): what int_daily_prices stores and int_features_as_of
    computes for a moment in the past. With `since`, `until` and `earlier` only the sessions from
    `since` to before `until`, as a continuation of the rows in `earlier`. -#}
{% macro daily_prices(at, clock, since=none, until=none, earlier=none) -%}
{%- set final_bars -%}
(
    SELECT * EXCEPT (object_path)
    FROM {{ ref('stg_equity_prices') }}
    WHERE
        source = '{{ active_source() }}'
        AND finality = 'final'
        {%- if since %}
        AND session >= {{ since }}
        AND session < {{ until }}
        {%- endif %}
        -- The lake keeps what left the universe; the marts describe what is in it.
        AND instrument_id IN (
            SELECT instrument_id FROM {{ source('platform', 'reference_instruments') }}
        )
)
{%- endset -%}
{%- set known_actions -%}
(
    SELECT *
    FROM {{ ref('stg_corporate_actions') }}
    WHERE source = '{{ active_source() }}'
)
{%- endset -%}
{%- set bars -%}
({{ as_of(final_bars, ['source', 'instrument_id', 'session'], at, clock) }})
{%- endset -%}
{%- set actions -%}
({{ as_of(known_actions, ['source', 'instrument_id', 'session', 'action'], at, clock) }})
{%- endset -%}
{{ adjust(bars, actions, earlier) }}
{%- endmacro %}
