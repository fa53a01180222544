-- A dividend or capital gain at or above the previous close, both in shares of its day: a misplaced
-- decimal point or a wrong share basis. macros/adjust.sql leaves it out of the total return, so it must
-- be seen here; what the provider has corrected since does not count.
SELECT instrument_id, session, relative_size
FROM {{ ref('fct_corporate_actions') }}
WHERE relative_size >= 1
