"""The picture of the digest: how wide next week is, one line per instrument, as a PNG."""

from __future__ import annotations

import polars as pl

from stock_platform.ml.plots import figure_of, png

BANDS = (("q025", "q975", 0.2), ("q10", "q90", 0.5))
"""95 and 80 % intervals."""
LINE = 0.3
"""Inches per instrument."""


def intervals(forecasts: pl.DataFrame) -> bytes:
    """Intervals in percent of the origin's price.

    Args:
        forecasts: symbol, price, q025, q10, median, q90, q975 per share; drawn from the top.
    """
    figure = figure_of(1, 1.0 + LINE * forecasts.height)
    axes = figure.axes[0]
    axes.use_sticky_edges = False
    places = list(range(forecasts.height))
    relative = forecasts.select(
        "symbol",
        *(
            (100 * (pl.col(name) / pl.col("price") - 1)).alias(name)
            for name in ("q025", "q10", "median", "q90", "q975")
        ),
    )
    for low, high, alpha in BANDS:
        axes.barh(
            places,
            (relative[high] - relative[low]).to_list(),
            left=relative[low].to_list(),
            height=0.6,
            color="#0072b2",
            alpha=alpha,
            lw=0,
        )
    axes.plot(relative["median"].to_list(), places, "k|", ms=9)
    axes.axvline(0, color="grey", lw=0.8)
    axes.set_yticks(places, relative["symbol"].to_list())
    axes.invert_yaxis()
    axes.set_title(
        "Price five sessions ahead against the last, %: median, 80 and 95 % intervals", fontsize=9
    )
    return png(figure)
