{#- The one implementation of "as of", on ClickHouse and on DuckDB: the last version of each key whose
    clock does not exceed `at`. Pure Jinja: dbt renders it for the marts, stock_platform/lake/as_of.py
    for the lake.
      relation  table, view or parenthesised subquery
      key       list of columns that name a row (lake/schema.py)
      at        SQL expression of a UTC timestamp; none or '' reads everything known
      clock     'known_at' (live decisions) or 'available_at' (backtests), or an SQL expression -#}
{%- macro as_of(relation, key, at=none, clock='known_at') -%}
SELECT *
FROM {{ relation }}
{%- if at %}
WHERE {{ clock }} <= {{ at }}
{%- endif %}
QUALIFY row_number() OVER (
    PARTITION BY {{ key | join(', ') }}
    ORDER BY {{ clock }} DESC, known_at DESC, payload_digest DESC
) = 1
{%- endmacro -%}
