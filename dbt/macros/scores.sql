{#- Scores of a quantile forecast. Prices are divided by the origin's price first, so that a score
    does not depend on how a share is priced. -#}

{#- The 19 quantile columns that are scored: 0.05, 0.10 .. 0.95 (the ledger also keeps 0.025, 0.975). -#}
{% macro scored_quantiles() -%}
{{ return(range(5, 100, 5) | list) }}
{%- endmacro %}

{% macro quantile_column(percent) -%}
{{ return('q' ~ '%02d' % percent) }}
{%- endmacro %}

{#- Pinball loss averaged over the scored quantiles: mean of max(p (y - q), (p - 1) (y - q)), with y
    and q the actual and the forecast price divided by `scale`. -#}
{% macro mean_pinball(forecast, actual, scale) -%}
arrayAvg(arrayMap(
    (level, quantile) -> greatest(level * ({{ actual }} - quantile), (level - 1) * ({{ actual }} - quantile)),
    [{% for p in scored_quantiles() %}{{ '%.2f' % (p / 100) }}{{ ', ' if not loop.last }}{% endfor %}],
    [{% for p in scored_quantiles() %}{{ forecast }}.{{ quantile_column(p) }}{{ ', ' if not loop.last }}{% endfor %}]
)) / {{ scale }}
{%- endmacro %}

{#- Array of the ledger's 21 quantiles of a row, in order. -#}
{% macro quantiles_of(forecast) -%}
[{{ forecast }}.q025{% for p in scored_quantiles() %}, {{ forecast }}.{{ quantile_column(p) }}{% endfor %}, {{ forecast }}.q975]
{%- endmacro %}

{#- Their levels. -#}
{% macro quantile_levels() -%}
[0.025{% for p in scored_quantiles() %}, {{ '%.2f' % (p / 100) }}{% endfor %}, 0.975]
{%- endmacro %}
