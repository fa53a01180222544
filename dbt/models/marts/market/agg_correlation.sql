{{ config(materialized='table', order_by=['instrument_id', 'other_instrument_id', 'week']) }}
-- Rebuilt and swapped: which instruments are compared is chosen anew each time, and three years of a
-- few dozen are the same small work however long the history and wide the market. All pairs of a
-- whole market would be 5 million series that nobody reads.
--
-- The choice is today's, by the median turnover of the last year in USD (through the central bank's
-- rates; in its own currency without one), so it is for looking at, not for backtests. The figures
-- themselves look back only. Sessions are those that both traded; closes of exchanges in different
-- time zones are hours apart. Both directions are stored: one instrument's relations and the square
-- of a heat map are read as they are.
WITH newest AS (
    SELECT max(session) AS session
    FROM {{ ref('int_daily_prices') }}
),

rates AS (
    SELECT
        quoted_currency,
        in_rub / nullIf(maxIf(in_rub, quoted_currency = 'USD') OVER (), 0) AS in_usd
    FROM (
        SELECT
            quoted_currency,
            argMax(rate, session) AS in_rub
        FROM {{ ref('fct_fx_rates') }}
        WHERE currency = 'RUB'
        GROUP BY quoted_currency
        UNION ALL
        SELECT
            'RUB' AS quoted_currency,
            1 AS in_rub
    )
),

chosen AS (
    SELECT
        bars.instrument_id AS instrument_id,
        toLowCardinality(argMax(bars.symbol, bars.session)) AS symbol,
        medianExact(bars.close * bars.volume) * coalesce(max(rates.in_usd), 1) AS turnover
    FROM {{ ref('int_daily_prices') }} AS bars
    INNER JOIN {{ ref('dim_instrument') }} AS instruments ON bars.instrument_id = instruments.instrument_id
    LEFT JOIN rates ON bars.currency = rates.quoted_currency
    WHERE
        bars.session > (SELECT session FROM newest) - 365
        -- An index is not traded; contracts and currencies have no turnover in shares.
        AND instruments.asset_class IN ('equity', 'etf')
    GROUP BY bars.instrument_id
    ORDER BY turnover DESC, instrument_id ASC
    LIMIT {{ var('correlation_instruments') }}
),

returns AS (
    SELECT
        bars.instrument_id AS instrument_id,
        chosen.symbol AS symbol,
        bars.session AS session,
        assumeNotNull(bars.log_return) AS log_return
    FROM {{ ref('int_daily_prices') }} AS bars
    INNER JOIN chosen ON bars.instrument_id = chosen.instrument_id
    -- The windows of the first weeks reach 60 sessions further back.
    WHERE bars.session > (SELECT session FROM newest) - (3 * 365 + 100) AND bars.log_return IS NOT NULL
),

pairs AS (
    SELECT
        one.instrument_id AS one_id,
        one.symbol AS one_symbol,
        other.instrument_id AS other_id,
        other.symbol AS other_symbol,
        one.session AS session,
        toMonday(one.session) AS week,
        {{ exact('one.log_return') }} AS x,
        {{ exact('other.log_return') }} AS y,
        {{ exact('one.log_return * one.log_return') }} AS xx,
        {{ exact('other.log_return * other.log_return') }} AS yy,
        {{ exact('one.log_return * other.log_return') }} AS xy
    FROM returns AS one
    INNER JOIN returns AS other ON one.session = other.session
    WHERE one.instrument_id < other.instrument_id
),

-- Sums over 60 sessions are differences of running sums, which integers allow.
so_far AS (
    SELECT
        one_id,
        one_symbol,
        other_id,
        other_symbol,
        session,
        week,
        row_number() OVER earlier AS sessions,
        session = max(session) OVER (PARTITION BY one_id, other_id, week) AS is_last_of_week,
        sum(x) OVER earlier AS sum_x,
        sum(y) OVER earlier AS sum_y,
        sum(xx) OVER earlier AS sum_xx,
        sum(yy) OVER earlier AS sum_yy,
        sum(xy) OVER earlier AS sum_xy
    FROM pairs
    WINDOW earlier AS (
        PARTITION BY one_id, other_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
),

sums AS (
    SELECT
        * EXCEPT (sum_x, sum_y, sum_xx, sum_yy, sum_xy),
        sum_x - lagInFrame(sum_x, 60) OVER earlier AS sum_x,
        sum_y - lagInFrame(sum_y, 60) OVER earlier AS sum_y,
        sum_xx - lagInFrame(sum_xx, 60) OVER earlier AS sum_xx,
        sum_yy - lagInFrame(sum_yy, 60) OVER earlier AS sum_yy,
        sum_xy - lagInFrame(sum_xy, 60) OVER earlier AS sum_xy
    FROM so_far
    WINDOW earlier AS (
        PARTITION BY one_id, other_id ORDER BY session ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
),

rolling AS (
    SELECT
        *,
        {{ comoment('sum_x', 'sum_y', 'sum_xy', 60) }} / nullIf(sqrt(
            {{ comoment('sum_x', 'sum_x', 'sum_xx', 60) }} * {{ comoment('sum_y', 'sum_y', 'sum_yy', 60) }}
        ), 0) AS ratio
    FROM sums
    WHERE is_last_of_week AND sessions >= 60
)

SELECT
    side.1 AS instrument_id,
    side.2 AS symbol,
    side.3 AS other_instrument_id,
    side.4 AS other_symbol,
    week,
    session,
    least(greatest(assumeNotNull(ratio), -1), 1) AS correlation
FROM (
    SELECT
        *,
        arrayJoin([
            (one_id, one_symbol, other_id, other_symbol), (other_id, other_symbol, one_id, one_symbol)
        ]) AS side
    FROM rolling
    WHERE
        ratio IS NOT NULL
        AND session > (SELECT session FROM newest) - 3 * 365
) AS sides
