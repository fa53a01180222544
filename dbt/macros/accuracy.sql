{#- How a set of scored forecasts did: the measures that every agg_accuracy* has, each free of a
    currency so that it may be taken over instruments. `forecast` is fct_forecast_accuracy. Skill is
    of the sums, not the mean of rows' skills: one quiet week must not outweigh the rest. -#}
{% macro accuracy_measures() -%}
    count() AS forecasts,
    min(forecast.origin_session) AS first_origin,
    max(forecast.origin_session) AS last_origin,
    {{ exact_mean('forecast.absolute_percentage_error') }} AS mape,
    {{ exact_mean('100 * forecast.baseline_absolute_error / forecast.actual') }} AS baseline_mape,
    {{ exact_mean('100 * forecast.error / forecast.actual') }} AS bias,
    avg(forecast.is_inside_50) AS coverage_50,
    avg(forecast.is_inside_80) AS coverage_80,
    avg(forecast.is_inside_95) AS coverage_95,
    {{ exact_mean('pow(forecast.p_up - forecast.is_up, 2)') }} AS brier_score,
    {{ exact_mean('forecast.pinball_loss') }} AS pinball_loss,
    {{ exact_mean('forecast.baseline_pinball_loss') }} AS baseline_pinball_loss,
    1 - pinball_loss / nullIf(baseline_pinball_loss, 0) AS skill
{%- endmacro %}

{#- SQL expression of the moment from which a row of the ledger counts, for builds as of a moment: a live
    forecast from its issue; by the clock available_at a backtest's from the moment whose data it was
    made from, as a bar of history fetched late counts from its session's close. -#}
{% macro counts_from(ledger) -%}
{{ return(
    ledger ~ '.issued_at' if as_of_clock() == 'known_at'
    else 'if(' ~ ledger ~ ".kind = 'backtest', " ~ ledger ~ '.as_of, ' ~ ledger ~ '.issued_at)'
) }}
{%- endmacro %}

{#- The same of a decision about champions: by the clock available_at from the data it rests on. -#}
{% macro decides_from() -%}
{{ return('decided_at' if as_of_clock() == 'known_at' else 'data_as_of') }}
{%- endmacro %}
