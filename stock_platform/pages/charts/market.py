"""Pictures of a market: breadth, movers, sectors, volatility, correlations, metals."""

from __future__ import annotations

import altair as alt
import polars as pl

from stock_platform.pages.charts.palette import BLUE, DIVERGING, GREY, OCHRE, VERMILLION

HEIGHT = 260
FRAME = 80
"""What axis and title need beside the rows of a picture."""
_X = alt.X("session:T", title=None)


def breadth(frame: pl.DataFrame) -> alt.LayerChart:
    """Shares that rose above the line, that fell below it. session, advances, declines."""
    sides = frame.select(
        "session",
        pl.col("advances").cast(pl.Int64).alias("rose"),
        (-pl.col("declines").cast(pl.Int64)).alias("fell"),
    ).unpivot(["rose", "fell"], index="session", variable_name="side", value_name="shares")
    bars = (
        alt.Chart(sides)
        .mark_area(interpolate="step", opacity=0.75)
        .encode(
            x=_X,
            y=alt.Y("shares:Q", title="shares that fell | rose"),
            color=alt.Color(
                "side:N",
                scale=alt.Scale(domain=["rose", "fell"], range=[BLUE, VERMILLION]),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                alt.Tooltip("session:T", format="%Y-%m-%d"),
                "side:N",
                alt.Tooltip("shares:Q", format="d"),
            ],
        )
    )
    zero = alt.Chart(pl.DataFrame({"y": [0]})).mark_rule(color=GREY).encode(y="y:Q")
    return (bars + zero).properties(height=HEIGHT)


def changes(frame: pl.DataFrame, key: str, value: str, title: str) -> alt.Chart:
    """Bars of a change by name, risers and fallers apart in side and colour."""
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            y=alt.Y(f"{key}:N", title=None, sort=None, axis=alt.Axis(labelLimit=200)),
            x=alt.X(f"{value}:Q", title=title, axis=alt.Axis(format="+.1%")),
            color=alt.condition(alt.datum[value] >= 0, alt.value(BLUE), alt.value(VERMILLION)),
            tooltip=[f"{key}:N", alt.Tooltip(f"{value}:Q", format="+.2%")],
        )
        .properties(height=24 * frame.height + FRAME)
    )


def volatility(frame: pl.DataFrame) -> alt.LayerChart:
    """Median and the middle 80 % of instruments. session, low, median, high."""
    base = alt.Chart(frame).encode(x=_X)
    percent = alt.Axis(format="%")
    band = base.mark_area(color=BLUE, opacity=0.22).encode(
        y=alt.Y("low:Q", title="volatility a year", axis=percent), y2="high:Q"
    )
    line = base.mark_line(color=BLUE).encode(
        y="median:Q",
        tooltip=[
            alt.Tooltip("session:T", format="%Y-%m-%d"),
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("low", "median", "high")),
        ],
    )
    return (band + line).properties(height=HEIGHT)


def correlations(frame: pl.DataFrame) -> alt.Chart | alt.LayerChart:
    """A square of symbol by other_symbol, coloured from -1 to 1; few enough carry their number."""
    base = alt.Chart(frame).encode(
        x=alt.X("symbol:N", title=None, axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("other_symbol:N", title=None),
        tooltip=["symbol:N", "other_symbol:N", alt.Tooltip("correlation:Q", format="+.2f")],
    )
    rects = base.mark_rect().encode(
        color=alt.Color(
            "correlation:Q",
            scale=alt.Scale(domain=[-1, 0, 1], range=list(DIVERGING), interpolate="rgb"),
            legend=alt.Legend(title="correlation", orient="top", gradientLength=160),
        )
    )
    number = frame["symbol"].n_unique()
    if number > 10:
        return rects.properties(height=22 * number + 2 * FRAME)
    text = base.mark_text().encode(
        text=alt.Text("correlation:Q", format="+.2f"),
        color=alt.condition(
            "abs(datum.correlation) > 0.6", alt.value("white"), alt.value("#1B1F24")
        ),
    )
    return (rects + text).properties(height=34 * number + 2 * FRAME)


def metal(frame: pl.DataFrame, column: str, unit: str) -> alt.Chart:
    """One price over time; RUB and USD never share an axis."""
    return (
        alt.Chart(frame)
        .mark_line(color=OCHRE)
        .encode(
            x=_X,
            y=alt.Y(f"{column}:Q", title=unit, scale=alt.Scale(zero=False)),
            tooltip=[
                alt.Tooltip("session:T", title="valid from", format="%Y-%m-%d"),
                alt.Tooltip(f"{column}:Q", title=unit, format=",.2f"),
            ],
        )
        .properties(height=HEIGHT)
    )
