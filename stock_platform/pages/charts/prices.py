"""Pictures of one instrument: history, fan, past forecasts, coverage."""

from __future__ import annotations

import altair as alt
import polars as pl

from stock_platform.pages.charts.palette import BANDS, BLUE, GREY, VERMILLION

HEIGHT = 340
LOW_HEIGHT = 150
FRAME = 90
"""What axis, title and legend need beside the rows of a picture."""
EDGES = {"95 %": ("q025", "q975"), "80 %": ("q10", "q90"), "50 %": ("q25", "q75")}


def history(prices: pl.DataFrame, unit: str) -> alt.LayerChart:
    """A line of `close` by `session`, with the values under the pointer."""
    base = alt.Chart(prices).encode(x=alt.X("session:T", title=None))
    near = alt.selection_point(on="pointerover", nearest=True, fields=["session"], empty=False)
    line = base.mark_line(color=BLUE, strokeWidth=1.5).encode(
        y=alt.Y("close:Q", title=unit, scale=alt.Scale(zero=False))
    )
    shown = base.mark_rule(color=GREY).encode(
        opacity=alt.condition(near, alt.value(0.6), alt.value(0)),
        tooltip=[
            alt.Tooltip("session:T", title="session", format="%Y-%m-%d"),
            *(alt.Tooltip(f"{n}:Q", format=",.2f") for n in ("open", "high", "low", "close")),
            alt.Tooltip("volume:Q", format=",.0f"),
        ],
    )
    return (line + shown.add_params(near)).properties(height=HEIGHT)


def volume(prices: pl.DataFrame) -> alt.Chart:
    """Shares traded, summed so that no bar is thinner than a pixel."""
    days = (prices["session"].max() - prices["session"].min()).days if prices.height else 0  # type: ignore[operator, union-attr]
    unit = "yearmonth" if days > 1500 else "yearweek" if days > 400 else "yearmonthdate"
    step = {"yearmonth": "month", "yearweek": "week", "yearmonthdate": "session"}[unit]
    return (
        alt.Chart(prices)
        .mark_bar(color=GREY)
        .encode(
            x=alt.X(f"{unit}(session):T", title=None),
            y=alt.Y("sum(volume):Q", title="shares traded", axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip(f"{unit}(session):T", title=step),
                alt.Tooltip("sum(volume):Q", title=f"shares in the {step}", format=",.0f"),
            ],
        )
        .properties(height=LOW_HEIGHT)
    )


def fan(past: pl.DataFrame, bands: pl.DataFrame, after: pl.DataFrame, unit: str) -> alt.LayerChart:
    """Closes up to the origin, the quantiles after it, and what happened where it is known.

    Args:
        past: session, close.
        bands: from `fan_bands`.
        after: session, close from the origin on; may be empty.
        unit: title of the price axis.
    """
    y = alt.Y("low:Q", title=unit, scale=alt.Scale(zero=False))
    levels = list(BANDS)
    areas = (
        alt.Chart(bands)
        .mark_area(color=BLUE, stroke=BLUE, strokeWidth=0.7)
        .encode(
            x=alt.X("session:T", title=None, axis=alt.Axis(format="%b %d", labelOverlap=True)),
            y=y,
            y2="high:Q",
            fillOpacity=alt.FillOpacity(
                "interval:O",
                sort=levels,
                scale=alt.Scale(domain=levels, range=[BANDS[name] for name in levels]),
                legend=alt.Legend(title="forecast interval", orient="top"),
            ),
            tooltip=_fan_tooltip(),
        )
    )
    median = (
        alt.Chart(bands.filter(pl.col("interval") == levels[0]))
        .mark_line(color=BLUE, strokeDash=[4, 3], point=alt.OverlayMarkDef(color=BLUE, size=30))
        .encode(x="session:T", y=alt.Y("median:Q"), tooltip=_fan_tooltip()[:2])
    )
    picture = areas + median + _line(past, GREY, "last closes")
    if after.height > 1:
        picture += _line(after, VERMILLION, "what happened")
    return picture.properties(height=HEIGHT)


def _fan_tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("session:T", title="target session", format="%Y-%m-%d"),
        alt.Tooltip("median:Q", format=",.2f"),
        alt.Tooltip("interval:N"),
        alt.Tooltip("low:Q", format=",.2f"),
        alt.Tooltip("high:Q", format=",.2f"),
    ]


def _line(frame: pl.DataFrame, colour: str, title: str) -> alt.Chart:
    return (
        alt.Chart(frame)
        .mark_line(color=colour, point=alt.OverlayMarkDef(color=colour, size=14))
        .encode(
            x="session:T",
            y=alt.Y("close:Q"),
            tooltip=[
                alt.Tooltip("session:T", title=title, format="%Y-%m-%d"),
                alt.Tooltip("close:Q", format=",.2f"),
            ],
        )
    )


def fan_bands(forecast: pl.DataFrame) -> pl.DataFrame:
    """Long rows to draw: session, interval, low, high, median; the origin is a point.

    `forecast` are ledger rows of one origin, one per horizon.
    """
    rows = []
    for name, (low, high) in EDGES.items():
        first = forecast.row(0, named=True)
        start = first["origin_price"]
        rows.append(
            {
                "session": first["origin_session"],
                "interval": name,
                "low": start,
                "high": start,
                "median": start,
            }
        )
        rows += [
            {
                "session": row["target_session"],
                "interval": name,
                "low": row[low],
                "high": row[high],
                "median": row["q50"],
            }
            for row in forecast.sort("horizon").iter_rows(named=True)
        ]
    return pl.DataFrame(rows)


def past_forecasts(scored: pl.DataFrame, unit: str) -> alt.LayerChart:
    """80 and 95 % intervals at their targets, and the closes: inside a circle, outside a triangle.

    `scored`: target_session, q025, q10, q90, q975, median, actual, outcome.
    """
    base = alt.Chart(scored).encode(x=alt.X("target_session:T", title=None))
    inside, outside = "inside the 80 % interval", "outside"
    tooltip = [
        alt.Tooltip("target_session:T", title="target session", format="%Y-%m-%d"),
        alt.Tooltip("actual:Q", title="close", format=",.2f"),
        alt.Tooltip("median:Q", title="median forecast", format=",.2f"),
        alt.Tooltip("q10:Q", title="80 % from", format=",.2f"),
        alt.Tooltip("q90:Q", title="80 % to", format=",.2f"),
        alt.Tooltip("model_name:N", title="model"),
    ]
    wide = base.mark_area(color=BLUE, opacity=0.16).encode(
        y=alt.Y("q025:Q", title=unit, scale=alt.Scale(zero=False)), y2="q975:Q"
    )
    narrow = base.mark_area(color=BLUE, opacity=0.28).encode(y="q10:Q", y2="q90:Q")
    actual = base.mark_point(filled=True, size=34, opacity=0.9).encode(
        y="actual:Q",
        color=alt.Color(
            "outcome:N",
            scale=alt.Scale(domain=[inside, outside], range=[GREY, VERMILLION]),
            legend=alt.Legend(title="close at the target", orient="top"),
        ),
        shape=alt.Shape(
            "outcome:N",
            scale=alt.Scale(domain=[inside, outside], range=["circle", "triangle-up"]),
        ),
        tooltip=tooltip,
    )
    return (wide + narrow + actual).properties(height=HEIGHT)


def coverage(months: pl.DataFrame) -> alt.Chart:
    """Missing sessions by year and month: `year`, `month` (1 to 12), `expected`, `missing`."""
    return (
        alt.Chart(months)
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("month:O", title="month", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("year:O", title=None),
            color=alt.Color(
                "missing:Q",
                scale=alt.Scale(domain=[0, 5, 23], range=["#C9CDD2", "#F0A35E", VERMILLION]),
                legend=alt.Legend(title="sessions missing", orient="top"),
            ),
            tooltip=["year:O", "month:O", "expected:Q", "missing:Q"],
        )
        .properties(height=14 * months["year"].n_unique() + FRAME)
    )
