"""Checks of the accuracy marts that are more than a dbt test: what a person should be told."""

import dagster as dg

from stock_platform.defs.resources import PlatformResource


@dg.asset_check(
    asset=dg.AssetKey("agg_accuracy"),
    description="Does the record beat the random walk? A warning, never silence, where it doesn't.",
)
def beats_the_random_walk(
    context: dg.AssetCheckExecutionContext, platform: PlatformResource
) -> dg.AssetCheckResult:
    """Skill over the scored five-session forecasts of this code's backtest, weeks as sample."""
    import numpy as np

    from stock_platform.ml.issue import backtest_name
    from stock_platform.ml.metrics import newey_west_t

    backtest = backtest_name(platform.settings.source)
    with platform.warehouse(context.run.run_id) as client:
        weeks = client.query(
            """
            SELECT avg(pinball_loss), avg(baseline_pinball_loss)
            FROM market.fct_forecast_accuracy
            WHERE horizon = 5 AND kind = 'backtest' AND backtest_name = {name:String}
            GROUP BY toMonday(origin_session) ORDER BY toMonday(origin_session)
            """,
            parameters={"name": backtest},
        ).result_rows
    if not weeks:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description="No forecast of this code has matured yet.",
        )
    losses = np.array(weeks, dtype=np.float64)
    skill = float(1 - losses[:, 0].mean() / losses[:, 1].mean())
    t = newey_west_t(losses[:, 1] - losses[:, 0])
    return dg.AssetCheckResult(
        passed=skill > 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Skill {skill:+.2%} against the random walk, {len(weeks)} weeks, t {t:.1f}",
        metadata={"backtest": backtest, "skill": skill, "t": t, "weeks": len(weeks)},
    )


accuracy_checks = [beats_the_random_walk]
