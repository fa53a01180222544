{#- A figure of a week, from days that a split may have put on several share bases: in shares of the
    week's last session. A week without a split keeps the printed figure to the last bit. -#}

{#- One of the week's prices; `pick` is the aggregate: min, max, argMin or argMax by session. -#}
{% macro weekly_price(price, pick) -%}
{%- set by = ', bars.session' if pick in ('argMin', 'argMax') else '' -%}
if(
    min(bars.split_factor) = max(bars.split_factor),
    {{ pick }}(bars.{{ price }}{{ by }}),
    {{ pick }}(bars.{{ price }} * bars.split_factor{{ by }}) / argMax(bars.split_factor, bars.session)
)
{%- endmacro %}

{#- The week's volume. -#}
{% macro weekly_volume() -%}
if(
    min(bars.split_factor) = max(bars.split_factor),
    {{ exact_sum('bars.volume', bits=30) }},
    {{ exact_sum('bars.volume / bars.split_factor', bits=30) }} * argMax(bars.split_factor, bars.session)
)
{%- endmacro %}
