{#-
    table: dbt-clickhouse's table, with one difference. The first build also happens in a side table
    and appears by rename, so that no reader ever sees an empty or half-filled mart and a killed
    first build leaves none behind. Later builds are swapped with EXCHANGE as in the original.
    Clusters and materialized views that feed a table, which this project has none of, are left out.
-#}
{% materialization table, adapter='clickhouse' %}
  {%- set target = this.incorporate(type='table') -%}
  {%- set existing = load_cached_relation(this) -%}
  {%- set side = api.Relation.create(schema=this.schema, identifier=this.identifier ~ '__build', type='table') -%}

  {{ run_hooks(pre_hooks) }}

  {%- if load_cached_relation(side) is not none -%}
    {%- do adapter.drop_relation(side) -%}
  {%- endif -%}

  {%- call statement('main') -%}
    {{ get_create_table_as_sql(False, side, sql) }}
  {%- endcall -%}

  {%- if existing is none -%}
    {%- do run_query("RENAME TABLE " ~ side ~ " TO " ~ target) -%}
  {%- elif existing.type == 'table' -%}
    {%- do run_query("EXCHANGE TABLES " ~ side ~ " AND " ~ target) -%}
    {%- do adapter.drop_relation(side) -%}
  {%- else -%}
    {%- do run_query("EXCHANGE TABLES " ~ side ~ " AND " ~ target) -%}
    {%- do run_query("DROP VIEW IF EXISTS " ~ side) -%}
  {%- endif -%}

  {{ run_hooks(post_hooks) }}
  {{ return({'relations': [target]}) }}
{% endmaterialization %}
