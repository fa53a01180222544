{#- The statements of diff.py, diff_rows.py and diff_reasons.py, for ClickHouse; plain Jinja.

    A table of differing rows has `side` (only_left, only_right, changed), the key, and of every
    other column left_<name> and right_<name>; those of an absent row hold the type's default. -#}

{#- ===== rows ===== -#}

{#- Two values differ, where NULL equals NULL and NaN equals NaN. -#}
{%- macro differ(left, right, column) -%}
{%- if not column.comparable -%}
    {%- set left, right = 'toString(' ~ left ~ ')', 'toString(' ~ right ~ ')' -%}
{%- endif -%}
(
    ifNull({{ left }} != {{ right }}, ({{ left }} IS NULL) != ({{ right }} IS NULL))
    {%- if column.comparable and column.is_float %}
    AND NOT ifNull(isNaN({{ left }}) AND isNaN({{ right }}), false)
    {%- endif %}
)
{%- endmacro -%}

{%- macro create_changes(table, pair) -%}
CREATE TABLE {{ table }} (
    side LowCardinality(String)
    {%- for name, type in pair.key.items() %},
    {{ name }} {{ type }}
    {%- endfor %}
    {%- for column in pair.values %},
    left_{{ column.name }} {{ column.left }},
    right_{{ column.name }} {{ column.right }}
    {%- endfor %}
)
ENGINE = MergeTree
ORDER BY tuple()
{%- endmacro -%}

{#- Fill it from the rows of one piece, a range of the key's column `by`. -#}
{%- macro insert_changes(table, pair, by, type) -%}
INSERT INTO {{ table }}
SELECT
    multiIf(r.is_there = 0, 'only_left', l.is_there = 0, 'only_right', 'changed') AS side
    {%- for name in pair.key %},
    if(l.is_there = 1, l.{{ name }}, r.{{ name }})
    {%- endfor %}
    {%- for column in pair.values %},
    l.{{ column.name }},
    r.{{ column.name }}
    {%- endfor %}
FROM {{ piece(pair, pair.left, by, type) }} AS l
FULL OUTER JOIN {{ piece(pair, pair.right, by, type) }} AS r
    ON {% for name in pair.key %}{{ ' AND ' if not loop.first }}l.{{ name }} = r.{{ name }}{% endfor %}
WHERE
    side != 'changed'
    {%- for column in pair.values %}
    OR {{ differ('l.' ~ column.name, 'r.' ~ column.name, column) }}
    {%- endfor %}
SETTINGS join_use_nulls = 0
{%- endmacro -%}

{%- macro piece(pair, relation, by, type) -%}
(
    SELECT 1 AS is_there
    {%- for name in pair.key %}, {{ name }}{% endfor %}
    {%- for column in pair.values %}, {{ column.name }}{% endfor %}
    FROM {{ relation }}
    WHERE {{ by }} BETWEEN {first:{{ type }}} AND {last:{{ type }}}
)
{%- endmacro -%}

{#- Rows of both sides together by value of a column. -#}
{%- macro rows_by(pair, by) -%}
SELECT value, sum(rows)
FROM (
    SELECT {{ by }} AS value, count() AS rows FROM {{ pair.left }} GROUP BY value
    UNION ALL
    SELECT {{ by }} AS value, count() AS rows FROM {{ pair.right }} GROUP BY value
)
GROUP BY value
ORDER BY value
{%- endmacro -%}

{#- ===== summary ===== -#}

{%- macro count_rows(pair) -%}
SELECT (SELECT count() FROM {{ pair.left }}), (SELECT count() FROM {{ pair.right }})
{%- endmacro -%}

{%- macro count_reasons(explained) -%}
SELECT side, reason, count() AS rows
FROM {{ explained }}
GROUP BY side, reason
ORDER BY rows DESC, reason
{%- endmacro -%}

{#- Per column: changed rows, largest absolute and relative change. -#}
{%- macro count_columns(explained, pair) -%}
SELECT
    {%- for column in pair.values %}
    {%- set left, right = 'left_' ~ column.name, 'right_' ~ column.name %}
    countIf({{ differ(left, right, column) }}),
    {%- if column.is_number %}
    maxOrNull(if(isFinite(toFloat64({{ right }}) - toFloat64({{ left }})), abs(toFloat64({{ right }}) - toFloat64({{ left }})), NULL)),
    maxOrNull(if(isFinite(toFloat64({{ right }}) / toFloat64({{ left }})), abs(toFloat64({{ right }}) / toFloat64({{ left }}) - 1), NULL))
    {%- else %}
    NULL,
    NULL
    {%- endif -%}
    {{ ',' if not loop.last }}
    {%- endfor %}
FROM {{ explained }}
WHERE side = 'changed'
{%- endmacro -%}

{#- Some rows of each side and reason: their key, and what changed as (column, before, after). -#}
{%- macro choose_examples(explained, pair, limit) -%}
SELECT
    side,
    reason,
    [{% for name in pair.key %}toString({{ name }}){{ ', ' if not loop.last }}{% endfor %}],
    [
        {%- for column in pair.values %}
        {%- set left, right = 'left_' ~ column.name, 'right_' ~ column.name %}
        if(
            side = 'changed' AND {{ differ(left, right, column) }},
            ('{{ column.name }}', toString({{ left }}), toString({{ right }})),
            ('', NULL, NULL)
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ]
FROM {{ explained }}
ORDER BY side, reason{% for name in pair.key %}, {{ name }}{% endfor %}
LIMIT {{ limit }} BY side, reason
{%- endmacro -%}

{#- ===== reasons ===== -#}

{#- Per instrument: on which sides it is, its first and last session there. Without sessions
    (`day` of the relations) all are the same day; '' stands for everybody. -#}
{%- macro create_spans(table, left, right, day) -%}
CREATE TABLE {{ table }} ENGINE = MergeTree ORDER BY instrument_id AS
WITH spans AS (
    SELECT
        toString(instrument_id) AS instrument_id,
        max(l) AS on_left,
        max(r) AS on_right,
        minIf(day, l) AS left_first,
        minIf(day, r) AS right_first,
        maxIf(day, l) AS left_last,
        maxIf(day, r) AS right_last
    FROM (
        SELECT instrument_id, true AS l, false AS r, {{ day }} AS day FROM {{ left }}
        UNION ALL
        SELECT instrument_id, false AS l, true AS r, {{ day }} AS day FROM {{ right }}
    )
    GROUP BY instrument_id
)
SELECT * FROM spans
UNION ALL
SELECT
    '' AS instrument_id,
    max(on_left),
    max(on_right),
    minIf(left_first, on_left),
    minIf(right_first, on_right),
    max(left_last),
    max(right_last)
FROM spans
{%- endmacro -%}

{%- macro create_events(table) -%}
CREATE TABLE {{ table }} (instrument_id String, session Date, cause String)
ENGINE = MergeTree
ORDER BY (instrument_id, session)
{%- endmacro -%}

{#- One cause per instrument and session, the strongest, and again under everybody with what an
    instrument's coming, going or going on means to the rows of others. -#}
{%- macro insert_events(table, found, spans, strength) -%}
INSERT INTO {{ table }}
WITH
    {{ strength }} AS strength,
    found AS (
        SELECT toString(instrument_id) AS instrument_id, session, cause
        FROM ({{ found | join('\nUNION ALL\n') }})
        WHERE cause != ''
    ),
    elsewhere AS (
        SELECT '' AS instrument_id, session, cause FROM found
        UNION ALL
        SELECT
            '' AS instrument_id,
            multiIf(
                NOT on_left, right_first, NOT on_right, left_first,
                addDays(least(left_last, right_last), 1)
            ) AS session,
            multiIf(
                NOT on_left, 'instrument added', NOT on_right, 'instrument left', 'new session'
            ) AS cause
        FROM {{ spans }}
        WHERE instrument_id != '' AND (on_left != on_right OR left_last != right_last)
    )
SELECT instrument_id, session, argMin(cause, indexOf(strength, cause))
FROM (SELECT * FROM found UNION ALL SELECT * FROM elsewhere)
GROUP BY instrument_id, session
{%- endmacro -%}

{#- Bars in another version, or on one side only although the other goes on past them. `changes` has
    known_at and finality among its values; `provisional` are relations of (instrument_id, session)
    that a side knew as provisional only, by the side that has the row. -#}
{%- macro version_events(changes, spans, provisional) -%}
SELECT
    changes.instrument_id AS instrument_id,
    changes.session AS session,
    multiIf(
        side = 'changed' AND left_finality != right_finality, 'provisional to final',
        side = 'changed' AND left_known_at != right_known_at, 'revision',
        side = 'changed' OR NOT spans.on_left OR NOT spans.on_right, '',
        {%- for one_side, known in provisional.items() %}
        side = '{{ one_side }}' AND (instrument_id, session) IN ({{ known }}), 'provisional to final',
        {%- endfor %}
        session <= least(spans.left_last, spans.right_last), 'late bar',
        ''
    ) AS cause
FROM {{ changes }} AS changes
LEFT JOIN {{ spans }} AS spans ON toString(changes.instrument_id) = spans.instrument_id
{%- endmacro -%}

{%- macro provisional_bars(staging, source, known) -%}
SELECT instrument_id, session
FROM {{ staging }}
WHERE source = '{{ source }}' AND finality = 'provisional' AND {{ known }}
{%- endmacro -%}

{%- macro actions(staging, source) -%}
(SELECT * FROM {{ staging }} WHERE source = '{{ source }}')
{%- endmacro -%}

{#- Splits and payments that one side did not know, or knew otherwise. -#}
{%- macro action_events(left, right, key) -%}
SELECT
    if(l.is_there, l.instrument_id, r.instrument_id) AS instrument_id,
    if(l.is_there, l.session, r.session) AS session,
    if(if(l.is_there, l.action, r.action) = 'split', 'split', 'dividend') AS cause
FROM (SELECT *, true AS is_there FROM ({{ left }})) AS l
FULL OUTER JOIN (SELECT *, true AS is_there FROM ({{ right }})) AS r
    ON {% for name in key %}{{ ' AND ' if not loop.first }}l.{{ name }} = r.{{ name }}{% endfor %}
WHERE l.is_there != r.is_there OR l.value != r.value
{%- endmacro -%}

{#- The differing rows with what is known about their instrument and day, and the first reason of
    `cases` (condition, reason) that holds. `event` is the last at the row's day or before,
    `later` any action after it, `elsewhere` the last of any instrument. -#}
{%- macro create_explained(table, pair, changes, spans, events, row, cases, otherwise) -%}
CREATE TABLE {{ table }} ENGINE = MergeTree ORDER BY tuple() AS
SELECT
    side,
    {%- for name in pair.key %}
    changes.{{ name }} AS {{ name }},
    {%- endfor %}
    {%- for column in pair.values %}
    left_{{ column.name }},
    right_{{ column.name }},
    {%- endfor %}
    multiIf(
        {%- for condition, reason in cases %}
        {{ condition }}, {{ reason }},
        {%- endfor %}
        {{ otherwise }}
    ) AS reason
FROM (
    SELECT
        *,
        toString({{ row.instrument }}) AS row_instrument,
        {{ row.day }} AS row_day,
        '' AS everybody
    FROM {{ changes }}
) AS changes
LEFT JOIN {{ spans }} AS spans ON changes.row_instrument = spans.instrument_id
ASOF LEFT JOIN {{ events }} AS event
    ON changes.row_instrument = event.instrument_id AND changes.row_day >= event.session
ASOF LEFT JOIN {{ events }} AS elsewhere
    ON changes.everybody = elsewhere.instrument_id AND changes.row_day >= elsewhere.session
LEFT JOIN (
    SELECT instrument_id, max(cause) AS action, max(session) AS last_action
    FROM {{ events }}
    WHERE cause IN ('split', 'dividend')
    GROUP BY instrument_id
) AS later ON changes.row_instrument = later.instrument_id
SETTINGS join_use_nulls = 0
{%- endmacro -%}
