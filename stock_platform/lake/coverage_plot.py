"""The heat map of coverage: instruments down, months across, as a PNG."""

from __future__ import annotations

import io

import polars as pl

from stock_platform.lake.coverage import FINAL, UNEXPLAINED

ROWS = 60
"""Instruments shown: those with the most absent bars; a taller picture is not read."""

_WORST_LAST = (FINAL, "closed", "delisted", "not_yet_final", "provider_missing", "rate_limited",
               "rejected", UNEXPLAINED)  # fmt: skip
_COLOURS = ("#dbe8df", "#c3d3c9", "#a9a9b8", "#f0e442", "#56b4e9", "#0072b2", "#d55e00", "#000000")
"""Okabe-Ito where a person has to tell reasons apart, also without colour vision."""


def heat_map(found: pl.DataFrame) -> bytes:
    """One cell per instrument and month, coloured by the worst state of its sessions.

    Args:
        found: symbol, session, state of `coverage.states`.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rank = {state: number for number, state in enumerate(_WORST_LAST)}
    cells = (
        found.with_columns(
            month=pl.col("session").dt.truncate("1mo"),
            rank=pl.col("state").replace_strict(rank, return_dtype=pl.Int32),
        )
        .group_by("symbol", "month")
        .agg(pl.col("rank").max(), absent=(pl.col("rank") > 0).sum())
    )
    worst = (
        cells.group_by("symbol")
        .agg(pl.col("absent").sum())
        .sort(["absent", "symbol"], descending=[True, False])
    )
    shown = sorted(worst.head(ROWS)["symbol"])
    months = pl.DataFrame({"month": cells["month"].unique().sort()})
    grid = (
        months.join(cells.select("symbol", "month", "rank"), on="month", how="left")
        .pivot(on="symbol", index="month", values="rank")
        .sort("month")
        .select(shown)
    )
    figure = Figure(figsize=(11, 1.6 + 0.17 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        grid.to_numpy().T.astype(float),
        aspect="auto",
        interpolation="none",
        cmap=ListedColormap(list(_COLOURS)),
        vmin=-0.5,
        vmax=len(_COLOURS) - 0.5,
    )
    axes.set_yticks(range(len(shown)), shown, fontsize=7)
    first_of_year = [
        (at, month.year) for at, month in enumerate(months["month"]) if month.month == 1
    ]
    every = max(1, len(first_of_year) // 12)
    ticks = first_of_year[::every] or [(0, months["month"][0].strftime("%Y-%m"))]
    axes.set_xticks([at for at, _ in ticks], [str(year) for _, year in ticks], fontsize=8)
    left_out = worst.height - len(shown)
    axes.set_title(
        "Worst state of each month's sessions; white: none was expected or loaded"
        + (f" ({left_out} instruments with fewer gaps are not shown)" if left_out else ""),
        fontsize=10,
    )
    seen = set(cells["rank"])
    figure.legend(
        handles=[
            Patch(facecolor=colour, edgecolor="grey", label=state.replace("_", " "))
            for state, colour in zip(_WORST_LAST, _COLOURS, strict=True)
            if rank[state] in seen
        ],
        loc="outside lower center",
        ncols=len(_WORST_LAST),
        fontsize=8,
        frameon=False,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()
