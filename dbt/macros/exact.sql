{#- Sums that are the same bits in any order and in any grouping of their terms, so that a table made
    in pieces equals one made whole. A float sum depends on both; here terms are rounded to multiples
    of 2^-80 (8e-25) and added as integers, which is exact while |sum| < 2^47. -#}

{#- A term as an integer; `bits` of its fraction are kept. NULL stays NULL (the engine also converts
    what stands below a NULL, which may be NaN); a term that is not finite is an error. -#}
{% macro exact(term, bits=80) -%}
if(({{ term }}) IS NULL, NULL, toInt128(round(coalesce({{ term }}, 0) * {{ 2 ** bits }}.0)))
{%- endmacro %}

{#- The number that a sum of such integers stands for. -#}
{% macro inexact(total, bits=80) -%}
(toFloat64({{ total }}) / {{ 2 ** bits }}.0)
{%- endmacro %}
