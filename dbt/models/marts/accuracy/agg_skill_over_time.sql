{{ config(materialized='view') }}
-- One forecast a week, five sessions ahead, so that weeks don't overlap. Weeks are the sample: the
-- forecasts of one week share its market, and a band around a mean of all forecasts would be far too
-- narrow. Bands are of 2.06 standard errors: 95 % of Student's t with the weeks of half a year.
{%- set standard_errors = 2.06 %}
{%- set least = 26 %}
WITH weeks AS (
    SELECT
        kind,
        week,
        count() AS forecasts,
        {{ exact_mean('pinball_loss') }} AS pinball_loss,
        {{ exact_mean('baseline_pinball_loss') }} AS baseline_pinball_loss,
        baseline_pinball_loss - pinball_loss AS gained,
        avg(is_inside_50) AS coverage_50,
        avg(is_inside_80) AS coverage_80,
        avg(is_inside_95) AS coverage_95
    FROM {{ ref('fct_forecast_scores') }}
    WHERE horizon = 5
    GROUP BY kind, week
),

trailing AS (
    SELECT
        kind,
        week,
        forecasts,
        count() OVER year AS weeks_of_skill,
        avg(gained) OVER year / nullIf(avg(baseline_pinball_loss) OVER year, 0) AS skill_52,
        stddevSamp(gained) OVER year / sqrt(weeks_of_skill)
        / nullIf(avg(baseline_pinball_loss) OVER year, 0) AS skill_error,
        count() OVER half_year AS weeks_of_coverage,
        avg(coverage_50) OVER half_year AS coverage_50_26,
        avg(coverage_80) OVER half_year AS coverage_80_26,
        avg(coverage_95) OVER half_year AS coverage_95_26,
        stddevSamp(coverage_80) OVER half_year / sqrt(weeks_of_coverage) AS coverage_error
    FROM weeks
    WINDOW
        year AS (PARTITION BY kind ORDER BY week ROWS BETWEEN 51 PRECEDING AND CURRENT ROW),
        half_year AS (PARTITION BY kind ORDER BY week ROWS BETWEEN 25 PRECEDING AND CURRENT ROW)
)

SELECT
    kind,
    week,
    forecasts,
    if(weeks_of_skill >= {{ least }}, skill_52, NULL) AS skill,
    if(weeks_of_skill >= {{ least }}, skill_52 - {{ standard_errors }} * skill_error, NULL) AS skill_low,
    if(weeks_of_skill >= {{ least }}, skill_52 + {{ standard_errors }} * skill_error, NULL) AS skill_high,
    if(weeks_of_coverage >= {{ least }}, coverage_50_26, NULL) AS coverage_50,
    if(weeks_of_coverage >= {{ least }}, coverage_80_26, NULL) AS coverage_80,
    if(weeks_of_coverage >= {{ least }}, coverage_95_26, NULL) AS coverage_95,
    if(
        weeks_of_coverage >= {{ least }}, greatest(0.8 - {{ standard_errors }} * coverage_error, 0), NULL
    ) AS chance_80_low,
    if(
        weeks_of_coverage >= {{ least }}, least(0.8 + {{ standard_errors }} * coverage_error, 1), NULL
    ) AS chance_80_high
FROM trailing
