{#- How ClickHouse reads objects of the lake: a directory through file(), S3 through s3(). -#}

{% macro lake_root() -%}
{{ return(env_var('DBT_LAKE_ROOT', '').rstrip('/')) }}
{%- endmacro %}

{#- What a path of lake_objects has in front of the object's key (`raw/...`). -#}
{% macro lake_prefix() -%}
{{ return(lake_root() ~ '/') }}
{%- endmacro %}

{#- The key of an object from the `_path` that file() and s3() show: `bucket/...` without a scheme. -#}
{% macro lake_key(path) -%}
substring({{ path }}, {{ (lake_prefix() | replace('s3://', '') | length) + 1 }})
{%- endmacro %}

{#- Table function over objects. `keys`: a key, a glob or a brace list below the lake's root;
    `format`: Parquet, or ParquetMetadata for footers only; `structure`: explicit types. The secret
    stands in the statement because s3() has no other place for it: dbt scrubs it from its logs
    (its value is also in a DBT_ENV_SECRET_ variable) and ClickHouse from its query log. -#}
{% macro lake_function(keys, format, structure='') -%}
{%- set arguments = ["'" ~ format ~ "'"] -%}
{%- if structure -%}{%- do arguments.append("'" ~ structure | replace("'", "\\'") ~ "'") -%}{%- endif -%}
{%- if lake_root().startswith('s3://') -%}
    {%- set url = env_var('DBT_S3_ENDPOINT').rstrip('/') ~ '/' ~ lake_prefix()[5:] ~ keys -%}
    {%- set key = env_var('DBT_S3_KEY', '') -%}
    {%- if key -%}
        {%- set arguments = ["'" ~ key ~ "'", "'" ~ env_var('DBT_S3_SECRET', '') ~ "'"] + arguments -%}
    {%- endif -%}
    {{ return("s3('" ~ url ~ "', " ~ arguments | join(', ') ~ ")") }}
{%- else -%}
    {{ return("file('" ~ lake_prefix() ~ keys ~ "', " ~ arguments | join(', ') ~ ")") }}
{%- endif -%}
{%- endmacro %}

{#- How Parquet stores a ClickHouse type: `physical logical`, as ParquetMetadata names them. -#}
{% macro parquet_type(data_type) -%}
{%- set plain = data_type | replace('LowCardinality(', '') | replace('String)', 'String') -%}
{%- set types = {
    'String': 'BYTE_ARRAY String',
    'Float64': 'DOUBLE None',
    'Date': 'INT32 Date',
    "DateTime64(6, 'UTC')": 'INT64 Timestamp(UTC, us)',
} -%}
{%- if plain not in types -%}
    {{ exceptions.raise_compiler_error("no Parquet type is known for " ~ data_type ~ ": add it to macros/lake.sql") }}
{%- endif -%}
{{ return(types[plain]) }}
{%- endmacro %}
