{#-
    lake_append: a table that holds every row of every object of one lake dataset, each object once.

    The catalog's list (lake_objects) minus what the table holds is what is read; an object counts
    as read when the table has as many rows of it as the catalog says. Objects are loaded into a
    side table, counted, and appear a year at once (ATTACH PARTITION; an object is of one session, so
    never in parts); the side table of a killed run is dropped. Nothing unread: nothing is changed.
    When the table disagrees with the catalog about an object it has (another lake), it is loaded anew
    beside and exchanged. By year, so that who reads recent sessions opens nothing older.

    Before the load every object's size is compared with the catalog's and its Parquet footer with
    the declared types and the catalog's row count, because an explicit structure would read 30.5 as
    30 into an integer and a missing column as 0 without a word. A difference stops the build and
    names the object.

    config: dataset, order_by. Column names and types come from the model's YAML; `object_path` is
    the object's key below the lake's root.
-#}
{% materialization lake_append, adapter='clickhouse' %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set side = api.Relation.create(schema=this.schema, identifier=this.identifier ~ '__load', type='table') -%}
  {%- set dataset = config.require('dataset') -%}

  {{ run_hooks(pre_hooks) }}

  {%- if load_cached_relation(side) is not none -%}
    {%- do adapter.drop_relation(side) -%}
  {%- endif -%}
  {%- if load_cached_relation(this) is none -%}
    {%- do run_query(lake_table_ddl(target)) -%}
  {%- endif -%}

  {%- set state = run_query(lake_state_sql(target, dataset)).rows[0] -%}
  {%- set listed, unread, disagreeing = state[0] | int, state[1] | int, state[2] | int -%}
  {%- if disagreeing and not listed -%}
    {{ exceptions.raise_compiler_error(
        "the lake's catalog lists no object of " ~ dataset ~ " but " ~ this ~ " holds rows of "
        ~ disagreeing ~ " objects: is STOCK_PLATFORM_LAKE_URL right? To empty the table, drop it."
    ) }}
  {%- endif -%}

  {%- if disagreeing or (listed and should_full_refresh()) -%}
    {{ log(this ~ ": " ~ disagreeing ~ " objects differ from the catalog, loading all anew", info=True) }}
    {%- do lake_load(side, lake_table_ddl(side), dataset, lake_wanted_sql(dataset), listed) -%}
    {%- call statement('main') -%}
      EXCHANGE TABLES {{ side }} AND {{ target }}
    {%- endcall -%}
    {%- do adapter.drop_relation(side) -%}
  {%- elif unread -%}
    {#- Only a table of the same shape can be attached from. -#}
    {%- set ddl = "CREATE TABLE " ~ side ~ " AS " ~ target -%}
    {%- do lake_load(side, ddl, dataset, lake_wanted_sql(dataset, target), unread) -%}
    {%- set years = run_query(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = '" ~ side.schema
        ~ "' AND table = '" ~ side.identifier ~ "'"
    ).columns[0].values() -%}
    {%- call statement('main') -%}
      ALTER TABLE {{ target }}
      {%- for year in years %} ATTACH PARTITION ID '{{ year }}' FROM {{ side }}{{ ',' if not loop.last }}{% endfor %}
    {%- endcall -%}
    {%- do adapter.drop_relation(side) -%}
  {%- else -%}
    {%- call noop_statement('main', 'UNCHANGED', 'UNCHANGED', 0) -%}
      SELECT 'nothing unread'
    {%- endcall -%}
  {%- endif -%}

  {{ run_hooks(post_hooks) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}


{% macro lake_table_ddl(relation) -%}
CREATE TABLE IF NOT EXISTS {{ relation }} (
    {%- for column in model.columns.values() %}
    {{ column.name }} {{ column.data_type }},
    {%- endfor %}
    -- What is asked before every build, of thousands of objects instead of millions of rows.
    PROJECTION objects (
        SELECT source, toYYYYMM(session), object_path, count()
        GROUP BY source, toYYYYMM(session), object_path
    )
)
ENGINE = MergeTree
PARTITION BY toYear(session)
ORDER BY ({{ config.require('order_by') | join(', ') }})
SETTINGS lightweight_mutation_projection_mode = 'rebuild'
{%- endmacro %}


{#- One row: objects the catalog lists, those the table lacks, those it holds differently. -#}
{% macro lake_state_sql(target, dataset) -%}
SELECT
    countIf(listed_rows > 0) AS listed,
    countIf(listed_rows > 0 AND read_rows = 0) AS unread,
    countIf(read_rows > 0 AND read_rows != listed_rows) AS disagreeing
FROM (
    SELECT object_path, sum(catalog_rows) AS listed_rows, sum(table_rows) AS read_rows
    FROM (
        SELECT object_path, object_rows AS catalog_rows, 0 AS table_rows
        FROM ({{ lake_wanted_sql(dataset) }})
        UNION ALL
        SELECT object_path, 0 AS catalog_rows, count() AS table_rows
        FROM {{ target }}
        GROUP BY object_path
    )
    GROUP BY object_path
)
{%- endmacro %}


{#- Objects of the dataset in the catalog; with `target`, only those it holds no row of. -#}
{% macro lake_wanted_sql(dataset, target=none) -%}
SELECT
    substring(path, {{ (lake_prefix() | length) + 1 }}) AS object_path,
    rows AS object_rows,
    bytes AS object_bytes
FROM {{ source('platform', 'lake_objects') }}
WHERE dataset = '{{ dataset }}' AND rows > 0
{%- if target %} AND object_path NOT IN (SELECT object_path FROM {{ target }} GROUP BY object_path){% endif %}
{%- endmacro %}


{#- Make the side table by `ddl` and fill it from the wanted objects, after checking them and before
    showing them. -#}
{% macro lake_load(side, ddl, dataset, wanted, number) -%}
  {#- Few objects by name; many by the dataset's glob, cut to the wanted ones: a list of thousands
      of paths exceeds max_query_size. -#}
  {%- if number <= 200 -%}
    {%- set paths = run_query("SELECT object_path FROM (" ~ wanted ~ ") ORDER BY object_path").columns[0].values() -%}
    {%- set keys = paths[0] if paths | length == 1 else '{' ~ paths | join(',') ~ '}' -%}
    {%- set chosen = "1" -%}
  {%- else -%}
    {%- set keys = 'raw/*/' ~ dataset ~ '/*/*/*/*.parquet' -%}
    {%- set chosen = lake_key('_path') ~ " IN (SELECT object_path FROM (" ~ wanted ~ "))" -%}
  {%- endif -%}

  {%- set stored = model.columns.values() | rejectattr('name', 'equalto', 'object_path') | list -%}
  {%- set expected = [] -%}
  {%- set structure = [] -%}
  {%- for column in stored -%}
    {%- do expected.append(column.name ~ ' ' ~ parquet_type(column.data_type)) -%}
    {%- do structure.append(column.name ~ ' ' ~ column.data_type) -%}
  {%- endfor -%}

  {%- set wrong = run_query(lake_size_sql(keys, chosen, wanted)) -%}
  {%- do lake_refuse(wrong, dataset) -%}
  {%- set wrong = run_query(lake_footer_sql(keys, chosen, wanted, expected)) -%}
  {%- do lake_refuse(wrong, dataset) -%}

  {%- do run_query(ddl) -%}
  {%- call statement('lake_insert') -%}
    INSERT INTO {{ side }} ({{ stored | map(attribute='name') | join(', ') }}, object_path)
    SELECT {{ stored | map(attribute='name') | join(', ') }}, {{ lake_key('_path') }} AS object_path
    FROM {{ lake_function(keys, 'Parquet', structure | join(', ')) }}
    WHERE {{ chosen }}
    SETTINGS input_format_null_as_default = 0
  {%- endcall -%}

  {%- set wrong = run_query(lake_count_sql(side, wanted)) -%}
  {%- do lake_refuse(wrong, dataset) -%}
{%- endmacro %}


{#- Wanted objects that are missing or have another size than the catalog says (a truncated one, whose
    footer the engine refuses to read without a name). Format One opens no object. -#}
{% macro lake_size_sql(keys, chosen, wanted) -%}
SELECT
    w.object_path AS object_path,
    if(
        f.found_bytes = 0, 'is missing or empty',
        concat('has ', toString(f.found_bytes), ' bytes where the catalog says ', toString(w.object_bytes))
    ) AS problem
FROM ({{ wanted }}) AS w
LEFT JOIN (
    SELECT {{ lake_key('_path') }} AS object_path, assumeNotNull(_size) AS found_bytes
    FROM {{ lake_function(keys, 'One') }}
    WHERE {{ chosen }}
) AS f ON w.object_path = f.object_path
WHERE f.found_bytes != w.object_bytes
ORDER BY object_path
LIMIT 5
SETTINGS join_use_nulls = 0
{%- endmacro %}


{#- Wanted objects whose footer differs from the declared columns or from the catalog's count. -#}
{% macro lake_footer_sql(keys, chosen, wanted, expected) -%}
SELECT
    w.object_path AS object_path,
    if(
        notEmpty(f.lacking),
        concat('lacks column ', arrayStringConcat(f.lacking, ', '), ' (it has ', arrayStringConcat(f.found, ', '), ')'),
        concat('has ', toString(f.footer_rows), ' rows where the catalog says ', toString(w.object_rows))
    ) AS problem
FROM ({{ wanted }}) AS w
LEFT JOIN (
    SELECT
        {{ lake_key('_path') }} AS object_path,
        num_rows AS footer_rows,
        arrayMap(
            c -> concat(c.name, ' ', c.physical_type, ' ', replaceRegexpOne(
                c.logical_type,
                '^Timestamp\\(isAdjustedToUTC=true, timeUnit=microseconds.*$',
                'Timestamp(UTC, us)'
            )),
            columns
        ) AS found,
        arrayFilter(c -> NOT has(found, c), [
            {%- for column in expected %}'{{ column }}'{{ ', ' if not loop.last }}{% endfor -%}
        ]) AS lacking
    FROM (
        -- Gathered first: the engine gives a block per object, and a block costs more than its row.
        SELECT _path, any(num_rows) AS num_rows, any(columns) AS columns
        FROM {{ lake_function(keys, 'ParquetMetadata') }}
        WHERE {{ chosen }}
        GROUP BY _path
    )
) AS f ON w.object_path = f.object_path
WHERE f.footer_rows != w.object_rows OR notEmpty(f.lacking)
ORDER BY object_path
LIMIT 5
SETTINGS join_use_nulls = 0
{%- endmacro %}


{% macro lake_count_sql(side, wanted) -%}
SELECT
    w.object_path AS object_path,
    concat('gave ', toString(s.loaded_rows), ' rows where the catalog says ', toString(w.object_rows)) AS problem
FROM ({{ wanted }}) AS w
LEFT JOIN (
    SELECT toString(object_path) AS object_path, count() AS loaded_rows
    FROM {{ side }}
    GROUP BY object_path
) AS s ON w.object_path = s.object_path
WHERE s.loaded_rows != w.object_rows
ORDER BY object_path
LIMIT 5
SETTINGS join_use_nulls = 0
{%- endmacro %}


{% macro lake_refuse(wrong, dataset) -%}
  {%- if wrong.rows | length -%}
    {%- set problems = [] -%}
    {%- for row in wrong.rows -%}
      {%- do problems.append(lake_prefix() ~ row[0] ~ ' ' ~ row[1]) -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        "objects of the lake can't be loaded into " ~ dataset ~ ":\n  " ~ problems | join("\n  ")
        ~ "\nObjects are write-once: restore the object, or remove it from the catalog."
    ) }}
  {%- endif -%}
{%- endmacro %}
