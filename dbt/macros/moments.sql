{#- Totals, means and covariances by way of macros/exact.sql, so that no figure of a mart depends on the
    order in which threads happened to add it up. `nullable`: whether all terms of a group may be
    NULL, and the figure with them. -#}

{#- Sum of a group's terms. -#}
{% macro exact_sum(term, nullable=false, bits=80) -%}
{{ 'assumeNotNull' if not nullable }}({{ inexact('sum(' ~ exact(term, bits) ~ ')', bits) }})
{%- endmacro %}

{#- Mean of a group's terms. -#}
{% macro exact_mean(term, nullable=false, bits=80) -%}
{{ exact_sum(term, nullable, bits) }} / count({{ term }})
{%- endmacro %}

{#- Standard deviation of a group's terms, of a size up to a thousand; NULL without any. Terms keep
    40 bits of their fraction, so that squares and their sums are exact too and equal terms give 0. -#}
{% macro exact_deviation(term) -%}
{%- set x = exact(term, 40) -%}
sqrt(toFloat64(count({{ term }}) * sum({{ x }} * {{ x }}) - sum({{ x }}) * sum({{ x }})))
/ count({{ term }}) / {{ 2 ** 40 }}.0
{%- endmacro %}

{#- n x n x covariance from sums over n rows: n sum(x y) - sum(x) sum(y). Arguments are sums of columns
    made by `exact`, `xy` that of the products. Quotients of two such are betas and correlations. -#}
{% macro comoment(x, y, xy, n) -%}
({{ n }} * {{ inexact(xy) }} - {{ inexact(x) }} * {{ inexact(y) }})
{%- endmacro %}
