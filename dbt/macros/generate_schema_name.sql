{#-
    Which database a model is built into: the warehouse's own, or with the var `into` a database
    beside it for the intermediate models and the marts. Staging holds every version of every row
    whatever the moment, so it is never built twice, and sources stay where Python wrote them: the
    whole state of the marts as known at a moment is made without touching the present one,
      dbt run --select +fct_daily_prices --exclude path:models/staging
        --vars '{as_of: "2013-03-01 22:00:00", as_of_clock: available_at, into: market_then}'
-#}
{% macro generate_schema_name(custom_schema_name, node) -%}
{%- set into = var('into', none) -%}
{%- if into and node.resource_type == 'model' and node.fqn[1] in ('intermediate', 'marts') -%}
    {{ into }}
{%- else -%}
    {{ default__generate_schema_name(custom_schema_name, node) }}
{%- endif -%}
{%- endmacro %}
