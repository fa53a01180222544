{#- What a build is told from outside: which source, as of when. One place reads it. -#}

{#- Name of the source the marts describe: the var `source`, else the environment. -#}
{% macro active_source() -%}
{{ return(var('source', env_var('DBT_SOURCE', 'sample'))) }}
{%- endmacro %}

{#- SQL expression of the moment the marts are built as of (var `as_of`, UTC), or none for now. -#}
{% macro as_of_moment() -%}
{%- set moment = var('as_of', none) -%}
{{ return("toDateTime64('" ~ moment ~ "', 6, 'UTC')" if moment else none) }}
{%- endmacro %}

{#- SQL condition: the row was known by that moment. `clock` is the column or expression that says
    when it became so, the clock of the var `as_of_clock` without one. For rows of which every
    version counts; the last version of each key is macros/as_of.sql. -#}
{% macro known_then(clock=none) -%}
{%- set moment = as_of_moment() -%}
{{ return((clock or as_of_clock()) ~ ' <= ' ~ moment if moment else 'TRUE') }}
{%- endmacro %}

{#- `known_at` or `available_at`: the clock of the var `as_of`. -#}
{% macro as_of_clock() -%}
{%- set clock = var('as_of_clock', 'known_at') -%}
{%- if clock not in ('known_at', 'available_at') -%}
    {{ exceptions.raise_compiler_error("var as_of_clock is '" ~ clock ~ "': use known_at or available_at") }}
{%- endif -%}
{{ return(clock) }}
{%- endmacro %}
