{#-
    features: what models read, from adjusted bars (the output of macros/adjust.sql).

    Every window ends at its own row: a feature of session t uses no bar after t, which
    tests/integration/dbt/test_dbt_prefix.py proves on every row. A feature is NULL until its window is
    full. Windows count the instrument's own bars, not calendar days. Used by the table
    fct_features_daily and by the parameterised view int_features_as_of.

    Formulas, with r the split-adjusted log return of one session and o, h, l, c the traded prices:
      vol_n            sqrt(mean of r^2 over n)
      ewma_vol         sqrt(weighted mean of r^2), weight 0.94^age over all history, from 60 returns
      gk_vol_n         Garman-Klass: sqrt(mean of 0.5 ln(h/l)^2 - (2 ln 2 - 1) ln(c/o)^2)
      parkinson_vol_n  sqrt(mean of ln(h/l)^2 / (4 ln 2))
      neg_semivol_n    sqrt(mean of min(r, 0)^2)
      ret_n            sum of r over n
      market_vol_22    sqrt(mean over 22 sessions of the mean r^2 of all instruments of the calendar)
      volume_ratio     ln(volume / mean volume over 60), volumes in shares of one basis

    prices   relation with the columns that macros/adjust.sql gives
-#}
{% macro features(prices) -%}
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
    history_sessions,
    max(greatest(available_at, market_available_at)) OVER so_far AS available_at,
    {%- for n in [1, 5, 22, 60, 250] %}
    if(count(log_return) OVER last_{{ n }} = {{ n }}, sqrt(avg(square) OVER last_{{ n }}), NULL) AS feature_vol_{{ n }},
    {%- endfor %}
    if(
        count(log_return) OVER so_far >= 60,
        -- Time constant 16.16...: exp(-1 / 16.1615) = 0.94. The first bar has no return and adds 0;
        -- the divisor is the sum of the weights of the others.
        sqrt(
            exponentialTimeDecayedSum(16.16151071201299)(coalesce(square, 0), history_sessions) OVER so_far
            * (1 - 0.94) / (1 - pow(0.94, history_sessions - 1))
        ),
        NULL
    ) AS feature_ewma_vol,
    {%- for n in [5, 22, 60] %}
    if(history_sessions >= {{ n }}, sqrt(greatest(avg(garman_klass) OVER last_{{ n }}, 0)), NULL) AS feature_gk_vol_{{ n }},
    {%- endfor %}
    if(history_sessions >= 22, sqrt(avg(parkinson) OVER last_22), NULL) AS feature_parkinson_vol_22,
    if(count(log_return) OVER last_22 = 22, sqrt(avg(negative_square) OVER last_22), NULL) AS feature_neg_semivol_22,
    {%- for n in [1, 5, 22] %}
    if(count(log_return) OVER last_{{ n }} = {{ n }}, sum(log_return) OVER last_{{ n }}, NULL) AS feature_ret_{{ n }},
    {%- endfor %}
    if(count(market_square) OVER last_22 = 22, sqrt(avg(market_square) OVER last_22), NULL) AS feature_market_vol_22,
    if(
        history_sessions >= 60 AND volume > 0,
        log(first_basis_volume / avg(first_basis_volume) OVER last_60),
        NULL
    ) AS feature_volume_ratio
FROM (
    SELECT
        prices.instrument_id AS instrument_id,
        prices.symbol AS symbol,
        prices.currency AS currency,
        prices.session AS session,
        prices.close AS close,
        prices.volume AS volume,
        prices.price_index AS price_index,
        prices.log_return AS log_return,
        prices.available_at AS available_at,
        instruments.calendar AS calendar,
        instruments.asset_class AS asset_class,
        sessions.session_number AS session_number,
        prices.log_return * prices.log_return AS square,
        pow(least(prices.log_return, 0), 2) AS negative_square,
        0.5 * pow(log(prices.high / prices.low), 2)
        - (2 * log(2) - 1) * pow(log(prices.close / prices.open), 2) AS garman_klass,
        pow(log(prices.high / prices.low), 2) / (4 * log(2)) AS parkinson,
        prices.volume / prices.split_factor AS first_basis_volume,
        row_number() OVER (
            PARTITION BY prices.instrument_id ORDER BY prices.session
        ) AS history_sessions,
        avg(square) OVER same_session AS market_square,
        max(prices.available_at) OVER same_session AS market_available_at
    FROM {{ prices }} AS prices
    INNER JOIN {{ source('platform', 'reference_instruments') }} AS instruments
        ON prices.instrument_id = instruments.instrument_id
    INNER JOIN {{ source('platform', 'reference_sessions') }} AS sessions
        ON instruments.calendar = sessions.calendar AND prices.session = sessions.session
    -- Ordered, because a float sum depends on the order of its terms.
    WINDOW same_session AS (
        PARTITION BY instruments.calendar, prices.session ORDER BY prices.instrument_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
)
WINDOW
    so_far AS (
        PARTITION BY instrument_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ),
    {%- for n in [1, 5, 22, 60, 250] %}
    last_{{ n }} AS (
        PARTITION BY instrument_id ORDER BY session ROWS BETWEEN {{ n - 1 }} PRECEDING AND CURRENT ROW
    ){{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
