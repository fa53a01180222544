{{ config(
    materialized='continued',
    order_by=['symbol', 'instrument_id', 'session'],
    reads=['fct_features_daily', 'agg_market_overview'],
) }}
-- Continued from the first month in which the features were; windows reach 250 bars back, none ahead.
-- Realised volatility is the models' own (macros/features.sql), annualised. The market of beta is the
-- equal-weight mean of the calendar's shares, the instrument among them. It comes from the overview
-- and not from the bars at hand: those of a share that paused reach further back than others'.
--
-- Sorted by ticker, by which people ask: at 20 M rows one instrument's history takes 30 ms.
--
-- Sums over 250 bars are differences of running sums, which integers allow: adding up 250 terms anew
-- for each row took three times as long (7 s of processor time instead of 2.6 for 4 million bars).
{%- set bars -%}
(
    SELECT bars.*
    FROM {{ ref('fct_features_daily') }} AS bars
    INNER JOIN {{ first_bars() }} AS piece ON bars.instrument_id = piece.instrument_id
    WHERE
        bars.session >= {{ first_session_for(250) }}
        AND bars.session < {{ until() }}
        AND bars.history_sessions + 250 > piece.first_bar
)
{%- endset %}
SELECT
    instrument_id,
    symbol,
    calendar,
    session,
    feature_vol_5 * sqrt({{ var('sessions_per_year') }}) AS volatility_5,
    feature_vol_22 * sqrt({{ var('sessions_per_year') }}) AS volatility_22,
    feature_vol_60 * sqrt({{ var('sessions_per_year') }}) AS volatility_60,
    feature_vol_250 * sqrt({{ var('sessions_per_year') }}) AS volatility_250,
    price_index / high - 1 AS drawdown_250,
    if(
        pairs = 250,
        {{ comoment('own', 'market', 'own_market', 250) }}
        / nullIf({{ comoment('market', 'market', 'market_market', 250) }}, 0),
        NULL
    ) AS beta_250
FROM (
    SELECT
        * EXCEPT (own, market, own_market, market_market, pairs),
        own - lagInFrame(own, 250) OVER so_far AS own,
        market - lagInFrame(market, 250) OVER so_far AS market,
        own_market - lagInFrame(own_market, 250) OVER so_far AS own_market,
        market_market - lagInFrame(market_market, 250) OVER so_far AS market_market,
        pairs - lagInFrame(pairs, 250) OVER so_far AS pairs
    FROM (
        SELECT
            *,
            max(price_index) OVER last_250 AS high,
            sum(coalesce({{ exact('own_return') }}, 0)) OVER so_far AS own,
            sum(coalesce({{ exact('market_return') }}, 0)) OVER so_far AS market,
            sum(coalesce({{ exact('own_return * market_return') }}, 0)) OVER so_far AS own_market,
            sum(coalesce({{ exact('market_return * market_return') }}, 0)) OVER so_far AS market_market,
            count(own_return * market_return) OVER so_far AS pairs
        FROM (
            SELECT
                bars.*,
                exp(bars.feature_ret_1) - 1 AS own_return,
                overview.mean_return AS market_return
            FROM {{ bars }} AS bars
            LEFT JOIN (
                SELECT
                    calendar,
                    session,
                    mean_return
                FROM {{ ref('agg_market_overview') }}
                WHERE sector = ''
            ) AS overview
                ON bars.calendar = overview.calendar AND bars.session = overview.session
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
WHERE session >= {{ since() }}
