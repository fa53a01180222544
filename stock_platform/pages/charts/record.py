"""Pictures of the record of past forecasts."""

from __future__ import annotations

import altair as alt
import polars as pl

from stock_platform.pages.charts.palette import BLUE, GREEN, GREY, VERMILLION

HEIGHT = 280
FRAME = 80
"""What axis and title need beside the rows of a picture."""
_PERCENT = alt.Axis(format="+.1%")


def skill_so_far(frame: pl.DataFrame) -> alt.LayerChart:
    """Skill of all weeks up to each, with its band. week, skill, low, high."""
    base = alt.Chart(frame).encode(x=alt.X("week:T", title=None))
    band = base.mark_area(color=BLUE, opacity=0.22).encode(
        y=alt.Y("low:Q", title="skill so far", axis=_PERCENT), y2="high:Q"
    )
    line = base.mark_line(color=BLUE).encode(
        y="skill:Q",
        tooltip=[
            alt.Tooltip("week:T", format="%Y-%m-%d"),
            *(alt.Tooltip(f"{name}:Q", format="+.2%") for name in ("skill", "low", "high")),
        ],
    )
    return (band + line + _level(0.0)).properties(height=HEIGHT)


def coverage_over_time(frame: pl.DataFrame, percent: int) -> alt.LayerChart:
    """Rolling coverage against the band of chance. week, coverage, low, high."""
    base = alt.Chart(frame).encode(x=alt.X("week:T", title=None))
    band = base.mark_area(color=GREY, opacity=0.22).encode(
        y=alt.Y(
            "low:Q",
            title="share inside",
            axis=alt.Axis(format="%"),
            scale=alt.Scale(zero=False),
        ),
        y2="high:Q",
    )
    line = base.mark_line(color=BLUE).encode(
        y="coverage:Q",
        tooltip=[
            alt.Tooltip("week:T", format="%Y-%m-%d"),
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("coverage", "low", "high")),
        ],
    )
    return (band + line + _level(percent / 100)).properties(height=HEIGHT)


def calibration(frame: pl.DataFrame) -> alt.LayerChart:
    """Share of outcomes below each quantile against its level; the diagonal is perfect."""
    ends = pl.DataFrame({"level": [0.0, 1.0], "share": [0.0, 1.0]})
    percent = alt.Axis(format="%")
    diagonal = (
        alt.Chart(ends)
        .mark_line(color=GREY, strokeDash=[4, 3])
        .encode(
            x=alt.X("level:Q", title="level of the quantile", axis=percent),
            y=alt.Y("share:Q", title="outcomes below it", axis=percent),
        )
    )
    points = (
        alt.Chart(frame)
        .mark_line(color=BLUE, point=alt.OverlayMarkDef(color=BLUE, size=36))
        .encode(
            x="level:Q",
            y="share:Q",
            tooltip=[
                alt.Tooltip("level:Q", format=".1%"),
                alt.Tooltip("share:Q", title="outcomes below", format=".1%"),
            ],
        )
    )
    return (diagonal + points).properties(height=HEIGHT)


def skill_by(frame: pl.DataFrame, title: str, marked: str = "") -> alt.LayerChart:
    """A point with its band per `key`; `marked` is drawn as a diamond. key, skill, low, high."""
    y = alt.Y("key:N", title=title, sort=None, axis=alt.Axis(labelLimit=220))
    base = alt.Chart(frame).encode(y=y)
    rule = base.mark_rule(color=GREY, strokeWidth=2).encode(x="low:Q", x2="high:Q")
    is_marked = alt.datum.key == marked
    point = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("skill:Q", title="skill against the random walk, 95 % band", axis=_PERCENT),
        color=alt.condition(is_marked, alt.value(GREEN), alt.value(BLUE)),
        shape=alt.condition(is_marked, alt.value("diamond"), alt.value("circle")),
        tooltip=[
            alt.Tooltip("key:N", title=title),
            *(alt.Tooltip(f"{name}:Q", format="+.2%") for name in ("skill", "low", "high")),
        ],
    )
    zero = alt.Chart(pl.DataFrame({"x": [0.0]})).mark_rule(color=VERMILLION).encode(x="x:Q")
    return (zero + rule + point).properties(height=26 * frame.height + FRAME)


def _level(value: float) -> alt.Chart:
    frame = pl.DataFrame({"y": [value]})
    return alt.Chart(frame).mark_rule(color=VERMILLION, strokeDash=[4, 3]).encode(y="y:Q")
