{#- What models of the materialization `continued` are written with: see its header. The values stand
    in the SQL as query parameters, which the materialization fills in for each piece it makes. A
    dbt unit test is one piece that holds everything. -#}

{#- First session of the piece that is being made. -#}
{% macro since() -%}
{{ return("toDate('1970-01-01')" if model.resource_type == 'unit_test' else '{since:Date}') }}
{%- endmacro %}

{#- The day after its last session. -#}
{% macro until() -%}
{{ return("toDate('2149-06-06')" if model.resource_type == 'unit_test' else '{until:Date}') }}
{%- endmacro %}

{#- The rows of this very model from before `since()`, none of them at first; nothing in a unit test. -#}
{% macro earlier() -%}
{{ return(none if model.resource_type == 'unit_test' else '{earlier:Identifier}') }}
{%- endmacro %}

{#- Of `earlier()` the first and the last row of each instrument: what sums are carried on from. Only
    what macros/adjust.sql reads of them is true; factors are 1 on a first bar. -#}
{% macro earlier_ends() -%}
{%- if not earlier() -%}{{ return(none) }}{%- endif -%}
(
    SELECT
        instrument_id,
        toLowCardinality('') AS symbol,
        ends.1 AS session,
        ends.2 AS open,
        ends.2 AS high,
        ends.2 AS low,
        ends.2 AS close,
        0. AS volume,
        toLowCardinality('') AS currency,
        toLowCardinality('') AS source,
        toLowCardinality('') AS finality,
        toDateTime64(0, 6, 'UTC') AS known_at,
        toLowCardinality('') AS availability,
        toDateTime64(0, 6, 'UTC') AS available_at,
        ends.3 AS bar_number,
        ends.4 AS split_factor,
        ends.5 AS total_return_factor
    FROM (
        SELECT
            instrument_id,
            max(session) AS last,
            arrayJoin(arrayDistinct([
                (min(session), argMin(close, session), toUInt32(1), 1., 1.),
                (
                    last, argMax(close, session), max(bar_number),
                    argMax(split_factor, session), argMax(total_return_factor, session)
                )
            ])) AS ends
        FROM {{ earlier() }}
        GROUP BY instrument_id
    )
)
{%- endmacro %}

{#- The piece's bars of int_daily_prices and, of each of its instruments, the `n` - 1 before them: what
    windows of `n` bars that end in the piece need. -#}
{% macro bars_for(n) -%}
(
    SELECT bars.*
    FROM {{ ref('int_daily_prices') }} AS bars
    INNER JOIN {{ first_bars() }} AS piece ON bars.instrument_id = piece.instrument_id
    WHERE
        bars.session >= {{ first_session_for(n) }}
        AND bars.session < {{ until() }}
        AND bars.bar_number + {{ n }} > piece.first_bar
)
{%- endmacro %}

{#- A session not after the first of bars_for(n), and less than a quarter before it, as a scalar: by
    the quarters that int_daily_prices keeps in a projection, not by its rows. -#}
{% macro first_session_for(n) -%}
(
    -- Without a bar in the piece there is no window to fill, and nothing to read.
    SELECT if(count() = 0, {{ until() }}, min(quarters.first_session))
    FROM (
        SELECT
            instrument_id,
            min(session) AS first_session,
            min(bar_number) AS first_bar,
            max(bar_number) AS last_bar
        FROM {{ ref('int_daily_prices') }}
        GROUP BY instrument_id, toStartOfQuarter(session)
    ) AS quarters
    INNER JOIN {{ first_bars() }} AS piece ON quarters.instrument_id = piece.instrument_id
    WHERE quarters.first_bar <= piece.first_bar AND quarters.last_bar + {{ n }} > piece.first_bar
)
{%- endmacro %}

{#- Number of each instrument's first bar in the piece. -#}
{% macro first_bars() -%}
(
    SELECT instrument_id, min(bar_number) AS first_bar
    FROM {{ ref('int_daily_prices') }}
    WHERE session >= {{ since() }} AND session < {{ until() }}
    GROUP BY instrument_id
)
{%- endmacro %}
