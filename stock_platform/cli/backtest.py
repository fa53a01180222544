"""`stock-platform backtest`: the forecasting code on any panel of prices, scored."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from stock_platform.errors import PlatformError

DAY = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def backtest(
        *,
        prices: Annotated[
            Path,
            typer.Option(
                help="Parquet with symbol, date, open, high, low, close, adj_close, volume; prices "
                "adjusted for splits, adj_close for dividends too (null where unknown)."
            ),
        ],
        first: Annotated[
            datetime, typer.Option("--from", formats=DAY, help="First day of origins.")
        ],
        last: Annotated[datetime, typer.Option("--to", formats=DAY, help="Last day of origins.")],
        out: Annotated[Path, typer.Option(help="Parquet to write, one row per symbol and origin.")],
        refit_weeks: Annotated[int, typer.Option(min=1, help="Weeks between refits.")] = 26,
        metrics: Annotated[
            Path | None,
            typer.Option(help="JSON to write: every metric of every model, by year, decisions."),
        ] = None,
    ) -> None:
        """Forecast every week of a panel with what was known then, and score it.

        Needs no warehouse. An origin is the last session of a calendar week, its target the fifth
        session after it. The file has symbol, origin, target, origin_price, the quantiles q025,
        q05 .. q95, q975 of the target's price, p_up, rank_score (higher is better) and
        p_quintile_1 (lowest returns of the week) .. p_quintile_5.
        """
        import polars as pl

        from stock_platform.cli.backtest_table import show
        from stock_platform.ml.weekly.backtest import backtest as walk
        from stock_platform.ml.weekly.backtest import table
        from stock_platform.ml.weekly.bars import Bars
        from stock_platform.ml.weekly.report import report
        from stock_platform.progress import reporter

        if not prices.is_file():
            raise PlatformError(f"--prices: there is no file {prices}")
        for option, file in (("--out", out), ("--metrics", metrics)):
            if file is not None and not file.parent.is_dir():
                raise PlatformError(f"{option}: there is no folder {file.parent}")
        if first > last:
            raise PlatformError(f"--from {first:%Y-%m-%d} lies after --to {last:%Y-%m-%d}")
        try:
            frame = pl.read_parquet(prices)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise PlatformError(f"--prices: {prices} can't be read as Parquet: {error}") from error
        with reporter("backtest") as progress:
            bars = Bars.from_frame(frame)
            del frame
            result = walk(bars, first.date(), last.date(), refit_weeks=refit_weeks,
                          progress=progress)  # fmt: skip
        unfinished = out.with_name(out.name + ".part")
        table(result).write_parquet(unfinished)
        unfinished.replace(out)
        scores = report(result)
        if metrics is not None:
            metrics.write_text(scores.to_json(result) + "\n", encoding="utf-8")
        show(result, scores)
        typer.echo(f"\n{out}")
