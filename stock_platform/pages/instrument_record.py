"""The part of an instrument's page that looks back: past forecasts, and how good they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import streamlit as st

from stock_platform.pages import parts, scores, words
from stock_platform.pages.charts import prices as charts
from stock_platform.pages.queries import instrument as queries
from stock_platform.pages.reading import ask, settings

if TYPE_CHECKING:
    from stock_platform.pages.instrument import Shown

FEW_WEEKS = 104


def show(shown: Shown) -> None:
    """Both sections, on the chosen record and horizon."""
    with parts.section(
        "Did past forecasts hold what happened?",
        "Each interval stands at its target session, in prices per share as of its origin. "
        "Four closes of five should be inside the 80 % interval.",
    ):
        with st.container(horizontal=True):
            record = parts.record()
            horizon = parts.horizon()
        if record is None:
            parts.note("No forecast has matured yet: nothing to compare.", level="warning")
            return
        scored = ask(queries.scored(settings().source, record, shown.id, horizon, shown.moment))
        if shown.moment:
            st.caption("Forecasts issued and matured by that day; what happened is as known now.")
            scored = scored.filter(pl.col("target_session") <= shown.last)
        if scored.is_empty():
            parts.note(
                f"No forecast of {shown.symbol} in this record has matured"
                f"{' by then' if shown.moment else ' yet'}.",
                level="warning",
            )
            return
        _overlay(shown, scored)
    with parts.section(f"How good were they for {shown.symbol}?"):
        parts.note(words.skill(scores.skill(scored), shown.symbol))
        if shown.moment:
            st.caption("Scores by session ahead are told for now only: clear the day above.")
            return
        _by_horizon(shown, record)


def _overlay(shown: Shown, scored: pl.DataFrame) -> None:
    outcome = (
        pl.when("is_inside_80")
        .then(pl.lit("inside the 80 % interval"))
        .otherwise(pl.lit("outside"))
        .alias("outcome")
    )
    recent = scored.tail(FEW_WEEKS).with_columns(outcome)
    inside = int(scored["is_inside_80"].sum())
    st.caption(
        f"Inside the 80 % interval: {inside} of {scored.height} closes "
        f"({words.percent(inside / scored.height)}). The picture has the last {recent.height}."
    )
    parts.figure(
        charts.past_forecasts(recent, f"{shown.row['currency']} per share as of the origin"),
        f"{inside} of {scored.height} closes of {shown.symbol} lay inside the 80 percent interval "
        "of their forecast.",
        scored.drop("forecast_id"),
        f"past-forecasts-{shown.symbol}",
    )


def _by_horizon(shown: Shown, record: tuple[str, str]) -> None:
    found = ask(queries.by_horizon(record, shown.id))
    told = found.select(
        pl.col("horizon").alias("sessions ahead"),
        "forecasts",
        _told("skill", 2, sign=True).alias("skill"),
        _told("mape", 2).alias("mean error, %"),
        _told("baseline_mape", 2).alias("random walk's, %"),
        *(_told(f"coverage_{percent}").alias(f"inside {percent} %") for percent in (50, 80, 95)),
        _told("direction").alias("right direction"),
    )
    st.table(told, hide_index=True, border="horizontal")
    st.caption(
        "Skill is the pinball loss saved against the random walk: 0 is as good as it, below 0 "
        "worse. Errors are of the median."
    )
    parts.download(found, f"accuracy-{shown.symbol}")


def _told(name: str, digits: int = 1, *, sign: bool = False) -> pl.Expr:
    return pl.col(name).map_elements(
        lambda value: words.percent(value, digits, sign=sign), pl.String
    )
