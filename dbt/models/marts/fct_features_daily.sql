{{ config(materialized='table', order_by=['instrument_id', 'session'], tags=['features']) }}
-- Rebuilt whole and swapped: see int_daily_prices.
{{ features(ref('int_daily_prices')) }}
