{{ config(materialized='table', order_by=['kind', 'backtest_name', 'instrument_id', 'origin_session', 'horizon']) }}
-- One row per matured forecast of the champion. Ledger prices are per share as of the origin, so
-- the actual is the target's traded close x the split ratios with origin < ex_date <= target;
-- dividends are not added back. Only the first row of a key counts: for live forecasts the first
-- issued before the first session after the origin opened, for a backtest the first of its name.
-- Bars are cut to the ledger's origins and targets before any join: of 16.6 M bars these are few. No
-- join has a row per instrument and session: with 3,300 instruments that took minutes by itself.
--
-- As of a moment: the forecasts issued by then (macro counts_from), and the actuals as known then.
WITH counted AS (
    SELECT ledger.*
    FROM {{ source('platform', 'forecasts') }} AS ledger
    LEFT JOIN (
        SELECT
            issued.instrument_id AS instrument_id,
            issued.origin_session AS origin_session,
            sessions.next_open_at AS deadline
        FROM (
            SELECT DISTINCT instrument_id, origin_session
            FROM {{ source('platform', 'forecasts') }}
            WHERE kind = 'live'
        ) AS issued
        INNER JOIN {{ source('platform', 'reference_instruments') }} AS instruments
            ON issued.instrument_id = instruments.instrument_id
        INNER JOIN (
            SELECT
                calendar,
                session,
                leadInFrame(open_at) OVER (
                    PARTITION BY calendar ORDER BY session_number
                    ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING
                ) AS next_open_at
            FROM {{ source('platform', 'reference_sessions') }}
        ) AS sessions
            ON instruments.calendar = sessions.calendar AND issued.origin_session = sessions.session
    ) AS deadlines
        ON ledger.instrument_id = deadlines.instrument_id AND ledger.origin_session = deadlines.origin_session
    WHERE
        ledger.source = '{{ active_source() }}'
        AND (ledger.kind = 'backtest' OR ledger.issued_at < deadlines.deadline)
        AND {{ known_then(counts_from('ledger')) }}
    ORDER BY ledger.issued_at, ledger.forecast_id
    LIMIT 1 BY -- noqa: LT02
        ledger.kind, ledger.backtest_name, ledger.instrument_id,
        ledger.origin_session, ledger.horizon, ledger.role
),

targets AS (
    SELECT
        bars.instrument_id AS instrument_id,
        bars.session AS session,
        bars.close AS close,
        bars.split_factor AS split_factor,
        first_versions.first_close AS first_close,
        first_versions.first_known_at AS first_known_at
    FROM (
        SELECT * FROM {{ ref('int_daily_prices') }}
        WHERE (instrument_id, session) IN (SELECT instrument_id, target_session FROM counted)
    ) AS bars
    INNER JOIN (
        SELECT
            instrument_id,
            session,
            argMin(close, (known_at, payload_digest)) AS first_close,
            min(known_at) AS first_known_at
        FROM {{ ref('stg_equity_prices') }}
        WHERE
            source = '{{ active_source() }}'
            AND (instrument_id, session) IN (SELECT instrument_id, target_session FROM counted)
        GROUP BY instrument_id, session
    ) AS first_versions
        ON bars.instrument_id = first_versions.instrument_id AND bars.session = first_versions.session
),

matured AS (
    SELECT
        forecast.*,
        target.split_factor / forecast.origin_split_factor AS split_ratio,
        target.first_close * split_ratio AS actual_first_known,
        target.first_known_at AS actual_known_at,
        target.close * split_ratio AS actual
    FROM (
        SELECT
            counted.*,
            origin.split_factor AS origin_split_factor
        FROM counted
        INNER JOIN (
            SELECT * FROM {{ ref('int_daily_prices') }}
            WHERE (instrument_id, session) IN (SELECT instrument_id, origin_session FROM counted)
        ) AS origin
            ON counted.instrument_id = origin.instrument_id AND counted.origin_session = origin.session
        WHERE counted.role = 'champion'
    ) AS forecast
    INNER JOIN targets AS target
        ON forecast.instrument_id = target.instrument_id AND forecast.target_session = target.session
),

baseline AS (
    SELECT *
    FROM counted
    WHERE role = 'baseline'
)

SELECT
    champion.forecast_id AS forecast_id,
    champion.kind AS kind,
    champion.backtest_name AS backtest_name,
    champion.instrument_id AS instrument_id,
    champion.symbol AS symbol,
    champion.origin_session AS origin_session,
    champion.target_session AS target_session,
    champion.horizon AS horizon,
    champion.model_name AS model_name,
    champion.model_version AS model_version,
    champion.issued_at AS issued_at,
    champion.as_of AS as_of,
    champion.currency AS currency,
    champion.origin_price AS origin_price,
    champion.q50 AS median,
    champion.mean AS mean,
    champion.q25 AS low_50,
    champion.q75 AS high_50,
    champion.q10 AS low_80,
    champion.q90 AS high_80,
    champion.q025 AS low_95,
    champion.q975 AS high_95,
    champion.p_up AS p_up,
    champion.split_ratio AS split_ratio,
    champion.actual_first_known AS actual_first_known,
    champion.actual_known_at AS actual_known_at,
    champion.actual AS actual,
    champion.q50 - champion.actual AS error,
    abs(error) AS absolute_error,
    100 * absolute_error / champion.actual AS absolute_percentage_error,
    toBool(champion.actual BETWEEN champion.q25 AND champion.q75) AS is_inside_50,
    toBool(champion.actual BETWEEN champion.q10 AND champion.q90) AS is_inside_80,
    toBool(champion.actual BETWEEN champion.q025 AND champion.q975) AS is_inside_95,
    toUInt8(arrayCount(quantile -> quantile <= champion.actual, {{ quantiles_of('champion') }})) AS quantiles_below,
    toBool(champion.actual > champion.origin_price) AS is_up,
    {{ mean_pinball('champion', 'champion.actual', 'champion.origin_price') }} AS pinball_loss,
    baseline.q50 - champion.actual AS baseline_error,
    abs(baseline_error) AS baseline_absolute_error,
    {{ mean_pinball('baseline', 'champion.actual', 'champion.origin_price') }} AS baseline_pinball_loss,
    1 - pinball_loss / nullIf(baseline_pinball_loss, 0) AS skill
FROM matured AS champion
INNER JOIN baseline
    ON
        champion.kind = baseline.kind
        AND champion.backtest_name = baseline.backtest_name
        AND champion.instrument_id = baseline.instrument_id
        AND champion.origin_session = baseline.origin_session
        AND champion.horizon = baseline.horizon
