"""Pictures as PNG bytes: next week's fan with its history, and the record of the walk-forward.

Matplotlib without a display, imported on use.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.metrics import pinball, quantile_matrix, weekly_means

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = (("q025", "q975", 0.15), ("q10", "q90", 0.25), ("q25", "q75", 0.35))
HISTORY_SESSIONS = 60
ROLLING_WEEKS = 26


def fan_chart(history: pl.DataFrame, forecasts: pl.DataFrame) -> bytes:
    """One panel per instrument: closes before the origin and the quantiles after it.

    `history` has symbol, session and close on the basis of the origin (split-adjusted to it);
    `forecasts` are ledger rows of one origin and one role, five horizons per symbol.
    """
    symbols = forecasts["symbol"].unique().sort().to_list()
    figure = figure_of(len(symbols), 2.6)
    for axes, symbol in zip(figure.axes, symbols, strict=True):
        rows = forecasts.filter(pl.col("symbol") == symbol).sort("horizon")
        past = history.filter(pl.col("symbol") == symbol).sort("session").tail(HISTORY_SESSIONS)
        axes.plot(past["session"].to_numpy(), past["close"].to_numpy(), color="black", lw=1)
        start, price = rows["origin_session"][0], rows["origin_price"][0]
        days = np.array([start, *rows["target_session"].to_list()], dtype="datetime64[D]")
        for low, high, alpha in BANDS:
            axes.fill_between(
                days,
                [price, *rows[low]],
                [price, *rows[high]],
                color="tab:blue",
                alpha=alpha,
                lw=0,
            )
        axes.plot(days, [price, *rows["q50"]], color="tab:blue", lw=1)
        axes.set_title(
            f"{symbol}: {price:.2f} on {start}, 80 % within {rows['q10'][-1]:.2f} to "
            f"{rows['q90'][-1]:.2f} on {rows['target_session'][-1]} ({rows['model_name'][0]})",
            fontsize=9,
        )
        axes.set_ylabel(rows["currency"][0])
    return png(figure)


def walk_forward_plot(scored: pl.DataFrame) -> bytes:
    """Cumulative skill against the random walk and rolling 80 % coverage of every candidate.

    `scored` holds walk-forward rows with `actual`, the same rows for each candidate.
    """
    figure = figure_of(2, 2.8)
    skill, cover = figure.axes
    baseline = scored.filter(pl.col("candidate") == BASELINE)
    weeks = baseline["week"].to_numpy().astype("datetime64[D]")
    reference = weekly_means(_losses(baseline), weeks)
    dates = np.unique(weeks)
    for (name,), rows in scored.group_by("candidate", maintain_order=True):
        loss = weekly_means(_losses(rows), weeks)
        gained = 100 * (1 - np.cumsum(loss) / np.cumsum(reference))
        colour, line = ("black", "--") if name == BASELINE else (None, "-")
        skill.plot(dates, gained, label=str(name), lw=1, color=colour, ls=line)
        inside = rows.select(
            ((pl.col("actual") >= pl.col("q10")) & (pl.col("actual") <= pl.col("q90"))).cast(
                pl.Float64
            )
        ).to_series()
        weekly = pl.Series(weekly_means(inside.to_numpy(), weeks))
        rolling = weekly.rolling_mean(ROLLING_WEEKS).to_numpy()
        cover.plot(dates, 100 * rolling, lw=1, color=colour, ls=line)
    skill.set_title("pinball skill against the random walk so far, %", fontsize=9)
    skill.legend(fontsize=7)
    cover.axhline(80, color="grey", lw=0.8)
    cover.set_title(f"coverage of the 80 % interval, {ROLLING_WEEKS} weeks, %", fontsize=9)
    return png(figure)


def _losses(rows: pl.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return pinball(rows["actual"].to_numpy(), quantile_matrix(rows))


def figure_of(panels: int, height: float) -> Figure:
    """Panels of the width of an asset page, one below the other, `height` inches each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height * panels), dpi=80, layout="constrained")
    FigureCanvasAgg(figure)
    figure.subplots(panels, 1, squeeze=False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG, the same bytes whenever it is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
