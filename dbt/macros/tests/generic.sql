{#- Tests that look at a table as a whole, one query each: dbt's own are one query per column. -#}

{#- The columns together name a row, across the whole table. -#}
{% test unique_key(model, columns) %}
SELECT {{ columns | join(', ') }}, count() AS rows
FROM {{ model }}
GROUP BY {{ columns | join(', ') }}
HAVING rows > 1
{% endtest %}

{#- Only the columns in `except` may be NULL, NaN or infinite anywhere. -#}
{% test complete(model, except=[]) %}
{%- set checked = tested_columns(model) | rejectattr('name', 'in', except) | list -%}
SELECT column_name, incomplete
FROM (
    SELECT [
        {%- for column in checked %}
        ('{{ column.name }}', countIf(
            {%- if 'Float' in column.data_type %}NOT isFinite(coalesce({{ column.name }}, nan)){% else %}{{ column.name }} IS NULL{% endif -%}
        )){{ ',' if not loop.last }}
        {%- endfor %}
    ] AS counts
    FROM {{ model }}
)
ARRAY JOIN counts.1 AS column_name, counts.2 AS incomplete
WHERE incomplete > 0
{% endtest %}

{#- A table with rows (`among` says which) has no column that is NULL or empty text in all of them. -#}
{% test no_all_null_column(model, except=[], among='true') %}
{%- set checked = tested_columns(model) | rejectattr('name', 'in', except) | list -%}
SELECT column_name
FROM (
    SELECT count() AS total, [
        {%- for column in checked %}
        ('{{ column.name }}', countIf(
            {%- if 'String' in column.data_type %}{{ column.name }} != ''{% else %}{{ column.name }} IS NOT NULL{% endif -%}
        )){{ ',' if not loop.last }}
        {%- endfor %}
    ] AS counts
    FROM {{ model }}
    WHERE {{ among }}
)
ARRAY JOIN counts.1 AS column_name, counts.2 AS filled
WHERE total > 0 AND filled = 0
{% endtest %}

{#- Every expression is true on every row where it is not NULL. -#}
{% test always(model, expressions) %}
SELECT rule, violations
FROM (
    SELECT [
        {%- for expression in expressions %}
        ('{{ expression | replace("'", "\\'") }}', countIf(NOT ({{ expression }}))){{ ',' if not loop.last }}
        {%- endfor %}
    ] AS counts
    FROM {{ model }}
)
ARRAY JOIN counts.1 AS rule, counts.2 AS violations
WHERE violations > 0
{% endtest %}

{#- Exactly as many rows as another relation: nothing duplicated by a join, nothing dropped. -#}
{% test same_row_count_as(model, other) %}
SELECT
    (SELECT count() FROM {{ model }}) AS rows,
    (SELECT count() FROM {{ other }}) AS other_rows
WHERE rows != other_rows
{% endtest %}

{#- Name and type of the columns of a model's YAML entry. -#}
{% macro tested_columns(model) -%}
{%- set found = [] -%}
{%- if execute -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == model.identifier -%}
        {%- for column in node.columns.values() -%}
            {%- do found.append({'name': column.name, 'data_type': column.data_type or ''}) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endif -%}
{{ return(found) }}
{%- endmacro %}

{#- Every instrument_id is in dim_instrument. -#}
{% test relationships_to_instrument(model) %}
SELECT DISTINCT instrument_id
FROM {{ model }}
WHERE instrument_id NOT IN (SELECT instrument_id FROM {{ ref('dim_instrument') }})
{% endtest %}
