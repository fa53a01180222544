{#- An aggregate over the table equals what a query gives: rows were neither lost nor counted twice on
    the way from what it is made of. -#}
{% test total_is(model, total, expected) %}
SELECT
    (SELECT {{ total }} FROM {{ model }}) AS found,
    ({{ expected }}) AS wanted
WHERE found != wanted
{% endtest %}
