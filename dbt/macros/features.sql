{#-
    features: what models read, from adjusted bars (the output of macros/adjust.sql).

    Every window ends at its own row: a feature of session t uses no bar after t, which
    tests/integration/dbt/test_dbt_prefix.py proves on every row. A feature is NULL until its window is
    full. Windows count the instrument's own bars, not calendar days, and none is longer than 250, so
    a piece of the table is made from the bars of the piece and the 249 before. Used by the table
    fct_features_daily and by the parameterised view int_features_as_of.

    Formulas, with r the split-adjusted log return of one session and o, h, l, c the traded prices:
      vol_n            sqrt(mean of r^2 over n)
      ewma_vol         sqrt(weighted mean of r^2 over 250), weight 0.94^age, from 60 returns
      gk_vol_n         Garman-Klass: sqrt(mean of 0.5 ln(h/l)^2 - (2 ln 2 - 1) ln(c/o)^2)
      parkinson_vol_n  sqrt(mean of ln(h/l)^2 / (4 ln 2))
      rs_vol_n         Rogers-Satchell: sqrt(mean of ln(h/c) ln(h/o) + ln(l/c) ln(l/o))
      overnight_vol_n  sqrt(mean of (r + ln(o/c))^2): from the close before to the open
      neg_semivol_n    sqrt(mean of min(r, 0)^2)
      pos_semivol_n    sqrt(mean of max(r, 0)^2)
      ret_n            sum of r over n
      market_vol_22    sqrt(mean over 22 sessions of the mean r^2 of all instruments of the calendar)
      sector_vol_22    the same of the calendar's instruments of one sector
      rank_x           share of the calendar's instruments that had less of x on that session
      days_ahead       calendar days to the fifth session after, by the calendar's regular holidays
      month_end        1 if the month ends within those days
      volume_ratio     ln(volume / mean volume over 60), volumes in shares of one basis

    prices   relation with the columns that macros/adjust.sql gives: every bar that a window needs
    market   relation with the same columns: every bar of the sessions in `prices`
    since    first session that is wanted; what comes before only fills the windows
-#}
{% macro features(prices, market, since=none) -%}
SELECT
    *,
    {%- for name in ['vol_22', 'ret_5', 'ret_22', 'volume_ratio'] %}
    if(
        feature_{{ name }} IS NULL,
        NULL,
        (rank() OVER (PARTITION BY calendar, session ORDER BY feature_{{ name }} NULLS LAST) - 1)
        / greatest(count(feature_{{ name }}) OVER (PARTITION BY calendar, session) - 1, 1)
    ) AS feature_rank_{{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
FROM (
    SELECT
        instrument_id,
        symbol,
        calendar,
        asset_class,
        currency,
        session,
        session_number,
        close AS close_traded,
        price_index,
        bar_number AS history_sessions,
        latest_available_at AS available_at,
        {%- for n in [1, 5, 22, 60, 250] %}
        if({{ over_last('returns', n) }} = {{ n }}, sqrt({{ mean_over('square', n) }}), NULL) AS feature_vol_{{ n }},
        {%- endfor %}
        if(
            {{ over_last('returns', 250) }} >= 60,
            -- The first bar has no return; the divisor is the sum of the weights of the others.
            sqrt(
                {{ inexact("if(is_even_block, " ~ over_last('even_block', 250) ~ ", " ~ over_last('odd_block', 250) ~ ")") }}
                * newest_weight * (1 - 0.94) / (1 - pow(0.94, least(bar_number - 1, 250)))
                + {{ inexact("if(is_even_block, " ~ over_last('odd_block', 250) ~ ", " ~ over_last('even_block', 250) ~ ")") }}
                * newest_weight * pow(0.94, 256) * (1 - 0.94) / (1 - pow(0.94, least(bar_number - 1, 250)))
            ),
            NULL
        ) AS feature_ewma_vol,
        {%- for n in [5, 22, 60] %}
        if(bar_number >= {{ n }}, sqrt(greatest({{ mean_over('garman_klass', n) }}, 0)), NULL) AS feature_gk_vol_{{ n }},
        {%- endfor %}
        if(bar_number >= 22, sqrt({{ mean_over('parkinson', 22) }}), NULL) AS feature_parkinson_vol_22,
        {%- for n in [5, 22] %}
        if(bar_number >= {{ n }}, sqrt(greatest({{ mean_over('rogers_satchell', n) }}, 0)), NULL) AS feature_rs_vol_{{ n }},
        {%- endfor %}
        if({{ over_last('returns', 22) }} = 22, sqrt({{ mean_over('overnight_square', 22) }}), NULL) AS feature_overnight_vol_22,
        if({{ over_last('returns', 22) }} = 22, sqrt({{ mean_over('negative_square', 22) }}), NULL) AS feature_neg_semivol_22,
        if({{ over_last('returns', 22) }} = 22, sqrt({{ mean_over('positive_square', 22) }}), NULL) AS feature_pos_semivol_22,
        {%- for n in [1, 5, 22] %}
        if({{ over_last('returns', n) }} = {{ n }}, {{ mean_over('exact_return', n) }} * {{ n }}, NULL) AS feature_ret_{{ n }},
        {%- endfor %}
        if({{ over_last('markets', 22) }} = 22, sqrt({{ mean_over('market_square', 22) }}), NULL) AS feature_market_vol_22,
        if({{ over_last('sectors', 22) }} = 22, sqrt({{ mean_over('sector_square', 22) }}), NULL) AS feature_sector_vol_22,
        toFloat64(days_ahead) AS feature_days_ahead,
        toFloat64(toStartOfMonth(session) != toStartOfMonth(session + days_ahead)) AS feature_month_end,
        if(
            bar_number >= 60 AND volume > 0,
            log(first_basis_volume / ({{ inexact(over_last('exact_volume', 60), 40) }} / 60)),
            NULL
        ) AS feature_volume_ratio
    FROM (
        SELECT
            *,
            {%- for column in summed_columns() %}
            sum(coalesce({{ column }}, 0)) OVER so_far AS {{ column }}_so_far,
            {%- endfor %}
            count(log_return) OVER so_far AS returns_so_far,
            count(market_square) OVER so_far AS markets_so_far,
            count(sector_square) OVER so_far AS sectors_so_far,
            max(greatest(available_at, market_available_at)) OVER last_250 AS latest_available_at
        FROM (
            SELECT
                prices.instrument_id AS instrument_id,
                prices.symbol AS symbol,
                prices.currency AS currency,
                prices.session AS session,
                prices.close AS close,
                prices.volume AS volume,
                prices.price_index AS price_index,
                prices.bar_number AS bar_number,
                prices.log_return AS log_return,
                prices.available_at AS available_at,
                instruments.calendar AS calendar,
                instruments.asset_class AS asset_class,
                sessions.session_number AS session_number,
                sessions.days_ahead AS days_ahead,
                {{ exact('prices.log_return') }} AS exact_return,
                {{ exact('prices.log_return * prices.log_return') }} AS square,
                {{ exact('pow(least(prices.log_return, 0), 2)') }} AS negative_square,
                {{ exact('pow(greatest(prices.log_return, 0), 2)') }} AS positive_square,
                {{ exact('pow(prices.log_return + log(prices.open / prices.close), 2)') }} AS overnight_square,
                {{ exact('log(prices.high / prices.close) * log(prices.high / prices.open)'
                    ~ ' + log(prices.low / prices.close) * log(prices.low / prices.open)') }} AS rogers_satchell,
                {{ exact('0.5 * pow(log(prices.high / prices.low), 2)'
                    ~ ' - (2 * log(2) - 1) * pow(log(prices.close / prices.open), 2)') }} AS garman_klass,
                {{ exact('pow(log(prices.high / prices.low), 2) / (4 * log(2))') }} AS parkinson,
                -- A weight 0.94^age needs the row it is seen from. Within a block of 256 bars it is the
                -- quotient of two powers of the position; 250 bars touch two blocks at most.
                prices.bar_number % 256 AS position,
                pow(0.94, position) AS newest_weight,
                intDiv(prices.bar_number, 256) % 2 = 0 AS is_even_block,
                {{ exact('prices.log_return * prices.log_return / newest_weight') }} AS block_square,
                if(is_even_block, block_square, 0) AS even_block,
                if(is_even_block, 0, block_square) AS odd_block,
                prices.volume / prices.split_factor AS first_basis_volume,
                {{ exact('first_basis_volume', 40) }} AS exact_volume,
                of_market.market_square AS market_square,
                if(instruments.sector = '', NULL, of_market.sector_square) AS sector_square,
                of_market.available_at AS market_available_at
            FROM {{ prices }} AS prices
            INNER JOIN {{ source('platform', 'reference_instruments') }} AS instruments
                ON prices.instrument_id = instruments.instrument_id
            INNER JOIN {{ source('platform', 'reference_sessions') }} AS sessions
                ON instruments.calendar = sessions.calendar AND prices.session = sessions.session
            INNER JOIN (
                SELECT
                    calendar,
                    session,
                    sector,
                    {{ exact(inexact('squares') ~ ' / nullIf(returns, 0)') }} AS sector_square,
                    {{ exact(inexact('sum(squares) OVER everyone') ~ ' / nullIf(sum(returns) OVER everyone, 0)') }}
                        AS market_square,
                    max(latest) OVER everyone AS available_at
                FROM (
                    SELECT
                        calendar,
                        session,
                        sector,
                        sum({{ exact('log_return * log_return') }}) AS squares,
                        count(log_return) AS returns,
                        max(available_at) AS latest
                    FROM {{ market }} AS all_bars
                    INNER JOIN {{ source('platform', 'reference_instruments') }} AS instruments
                        ON all_bars.instrument_id = instruments.instrument_id
                    GROUP BY calendar, session, sector
                )
                WINDOW everyone AS (PARTITION BY calendar, session)
            ) AS of_market
                ON
                    instruments.calendar = of_market.calendar
                    AND prices.session = of_market.session
                    AND instruments.sector = of_market.sector
        )
        WINDOW
            so_far AS (
                PARTITION BY instrument_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ),
            last_250 AS (
                PARTITION BY instrument_id ORDER BY session ROWS BETWEEN 249 PRECEDING AND CURRENT ROW
            )
    )
    WINDOW so_far AS (
        PARTITION BY instrument_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
{%- if since %}
WHERE session >= {{ since }}
{%- endif %}
{%- endmacro %}

{#- What is added up: columns made by `exact`. -#}
{% macro summed_columns() -%}
{{ return([
    'exact_return', 'square', 'negative_square', 'positive_square', 'overnight_square', 'garman_klass',
    'rogers_satchell', 'parkinson', 'even_block', 'odd_block', 'exact_volume', 'market_square',
    'sector_square',
]) }}
{%- endmacro %}

{#- Sum of a column over the last n rows: the difference of two running sums, which integers allow.
    Adding up n terms anew for each row takes several times as long. -#}
{% macro over_last(column, n) -%}
({{ column }}_so_far - lagInFrame({{ column }}_so_far, {{ n }}) OVER so_far)
{%- endmacro %}

{#- Mean over the last n rows. -#}
{% macro mean_over(column, n) -%}
{{ inexact(over_last(column, n)) }} / {{ n }}
{%- endmacro %}
