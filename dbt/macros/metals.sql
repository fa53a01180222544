{#- What agg_gold_monthly tells of a price: macros of its two levels, in RUB per gram and in USD per troy
    ounce. `unit` ends a column's name, and begins with the currency. -#}

{% macro month_of_prices(unit, nullable=false) -%}
{%- set change = 'change_' ~ unit[:3] ~ '_percent' -%}
argMin(price_{{ unit }}, session) AS first_{{ unit }},
argMax(price_{{ unit }}, session) AS last_{{ unit }},
min(price_{{ unit }}) AS lowest_{{ unit }},
max(price_{{ unit }}) AS highest_{{ unit }},
{{ exact_mean('price_' ~ unit, nullable) }} AS mean_{{ unit }},
argMax({{ change }}, session) AS last_daily_{{ change }},
max(if({{ change }} < 0, 0, {{ change }})) AS largest_daily_rise_{{ unit[:3] }}_percent,
min(if({{ change }} > 0, 0, {{ change }})) AS largest_daily_fall_{{ unit[:3] }}_percent
{%- endmacro %}

{#- Percent over the last price of the calendar month before; window `earlier` is of months. -#}
{% macro change_of_month(unit) -%}
100 * (last_{{ unit }} / if(
    lagInFrame(month) OVER earlier = month - INTERVAL 1 MONTH,
    lagInFrame(toNullable(last_{{ unit }})) OVER earlier,
    NULL
) - 1) AS change_{{ unit[:3] }}_percent
{%- endmacro %}
