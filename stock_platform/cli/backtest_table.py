"""How a backtest is printed."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.weekly.backtest import CHAMPION, Backtest
from stock_platform.ml.weekly.report import Report

TITLES = ("skill %", "t", "DM", "80 %", "80 % by year", "95 %", "MAE/RW", "R2 %", "up")


def cells(row: dict[str, Any]) -> list[str]:
    """One model's metrics under TITLES."""
    low, high = row["coverage_80_worst_year_low"], row["coverage_80_worst_year_high"]
    return [
        f"{100 * row['skill']:+.2f}",
        f"{row['skill_t']:.1f}",
        f"{row['diebold_mariano']:.1f}",
        f"{row['coverage_80']:.3f}",
        "" if low is None else f"{low:.3f}-{high:.3f}",
        f"{row['coverage_95']:.3f}",
        f"{row['mae_over_random_walk']:.4f}",
        f"{100 * row['r2_returns']:+.2f}",
        f"{row['direction']:.3f}/{row['always_up']:.3f}",
    ]


def show(result: Backtest, report: Report) -> None:
    """Print the tables."""
    console = Console(width=110, highlight=False)
    first = report.models.row(0, named=True)
    years = report.years["year"].to_list()
    console.print(
        f"\n{first['rows']:,.0f} forecasts of {first['weeks']:.0f} weeks, "
        f"{years[0]}-{years[-1]}. Skill: pinball loss saved "
        f"against a random walk with the volatility of 250 sessions ({BASELINE}); t over weeks "
        "(Newey-West); 80 and 95 %: share of outcomes inside; up: share of directions right / of "
        "weeks up."
    )
    table = Table(box=box.SIMPLE)
    table.add_column("model")
    for title in TITLES:
        table.add_column(title, justify="right")
    for row in report.models.rows(named=True):
        table.add_row(row["model"], *cells(row), style="bold" if row["model"] == CHAMPION else "")
    console.print(table)
    spoken: list[tuple[str, str]] = []
    for decision in result.decisions:
        if not spoken or spoken[-1][1] != decision.champion:
            day = str(result.weekly.sessions[result.weekly.at[decision.week]])
            spoken.append((day, decision.champion))
    console.print("Champion: " + ", ".join(f"{name} from {day}" for day, name in spoken) + ".")
    if report.ranking:
        found = report.ranking
        console.print(
            f"Ranking: rank IC {found['rank_ic']:.4f} (t {found['rank_ic_t']:.1f}), ranked "
            f"probability score {found['ranked_probability_score']:.5f} (uniform 0.16, t "
            f"{found['ranked_probability_score_t']:.1f})."
        )
