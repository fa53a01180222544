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

{#- Of `earlier()` the first and the last row of each instrument: what sums are carried on from. -#}
{% macro earlier_ends() -%}
{%- if not earlier() -%}{{ return(none) }}{%- endif -%}
(
    SELECT *
    FROM {{ earlier() }}
    WHERE (instrument_id, session) IN (
        SELECT instrument_id, arrayJoin([min(session), max(session)])
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

{#- The earliest session among bars_for(n), as a scalar. -#}
{% macro first_session_for(n) -%}
(
    SELECT min(session)
    FROM {{ ref('int_daily_prices') }}
    WHERE (instrument_id, bar_number) IN (
        SELECT instrument_id, toUInt32(greatest(toInt64(first_bar) - {{ n - 1 }}, 1))
        FROM {{ first_bars() }}
    )
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
