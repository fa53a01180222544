"""The page of the record: are the forecasts better than the random walk, are intervals honest?"""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import streamlit as st

from stock_platform.ml.record import BAND, COVERAGE_WEEKS, MOST_INSTRUMENTS
from stock_platform.pages import parts, scores, words
from stock_platform.pages.charts import record as charts
from stock_platform.pages.queries import accuracy as queries
from stock_platform.pages.queries.accuracy import Part
from stock_platform.pages.reading import ask, settings

FEW = 15
ALL_MODELS, ALL_INSTRUMENTS = "every model", "every instrument"


def show() -> None:
    """Build the page."""
    st.title("Are the forecasts better than the random walk?", anchor=False)
    chosen = _chosen()
    if chosen is None:
        parts.note(
            "No forecast has matured yet, so there is no record: forecasts are scored when their "
            "target session is over.",
            level="warning",
        )
        return
    part, what = chosen
    weekly = ask(queries.weekly(part))
    found = scores.skill(weekly)
    parts.note(words.skill(found, what), level="good" if found.verdict == "better" else "info")
    if weekly.is_empty():
        return
    _figures(weekly, found)
    _skill(weekly, part)
    _coverage(weekly, part)
    _calibration(part)
    _by("model_name", "Which model did best?", part, "model")
    _by("horizon", "How far ahead does it hold?", part, "sessions ahead")
    if not part.instrument_id:
        _by_instrument(part)


def _chosen() -> tuple[Part, str] | None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        record = parts.record()
        if record is None:
            return None
        found = ask(queries.models())
        mine = found.filter((pl.col("kind") == record[0]) & (pl.col("backtest_name") == record[1]))
        model = st.selectbox(
            "Model", [ALL_MODELS, *mine["model_name"]], key="model", bind="query-params"
        )
        row = parts.instrument(all_of_them=ALL_INSTRUMENTS)
    part = Part(
        *record,
        horizon=parts.horizon(),
        model="" if model == ALL_MODELS else str(model),
        instrument_id=row["instrument_id"] if row else "",
    )
    what = row["symbol"] if row else ALL_INSTRUMENTS
    return part, f"{what} ({words.record_name(*record)}, {part.model or ALL_MODELS})"


def _figures(weekly: pl.DataFrame, found: scores.Skill) -> None:
    low, high = (words.percent(end, 1, sign=True) for end in (found.low, found.high))
    band = f"{low.removesuffix(' %')} … {high}"
    parts.facts(
        [
            (
                "Skill",
                words.percent(found.value, 2, sign=True),
                "Pinball loss saved against the random walk; weeks count alike.",
            ),
            (
                "95 % band",
                band,
                "From the scatter of weekly means, for the forecasts of a week share its market.",
            ),
            ("Weeks", f"{found.weeks:,}", f"{int(weekly['forecasts'].sum()):,} forecasts."),
            *(
                (
                    f"Inside {percent} %",
                    words.percent(float(weekly[f"coverage_{percent}"].mean())),  # type: ignore[arg-type]
                    f"Share of prices inside the {percent} % interval; it should be {percent} %.",
                )
                for percent in (50, 80, 95)
            ),
        ]
    )


def _skill(weekly: pl.DataFrame, part: Part) -> None:
    with parts.section(
        "Has it earned anything over time?",
        "Skill of all weeks up to each, with its 95 % band; the dashed line is the random walk. "
        "A band that holds the line means: can't be told apart yet.",
    ):
        so_far = scores.skill_so_far(weekly)
        if so_far.is_empty():
            st.write("Too few weeks for a curve.")
            return
        last = so_far.row(-1, named=True)
        parts.figure(
            charts.skill_so_far(so_far),
            f"Skill so far ends at {words.percent(last['skill'], 2)}, band "
            f"{words.percent(last['low'], 2)} to {words.percent(last['high'], 2)}.",
            weekly,
            f"weekly-{_file(part)}",
        )


def _coverage(weekly: pl.DataFrame, part: Part) -> None:
    with parts.section(
        "Do the intervals hold what they promise?",
        f"Share of prices inside the interval over {COVERAGE_WEEKS} weeks. In the grey band a "
        "difference is no more than weekly scatter explains.",
    ):
        percent = int(
            st.segmented_control(
                "Interval",
                [50, 80, 95],
                default=80,
                required=True,
                format_func=lambda one: f"{one} %",
                key="interval",
                bind="query-params",
            )
        )
        rolling = scores.coverage_over_time(weekly, percent)
        if rolling.is_empty():
            st.write(f"Too few weeks: {COVERAGE_WEEKS} are needed.")
            return
        last = rolling.row(-1, named=True)
        parts.figure(
            charts.coverage_over_time(rolling, percent),
            f"Coverage of the {percent} percent interval ends at "
            f"{words.percent(last['coverage'])}.",
            rolling,
            f"coverage-{percent}-{_file(part)}",
        )


def _calibration(part: Part) -> None:
    with parts.section(
        "Is a chance of one in ten one in ten?",
        "Share of prices below each quantile against its level. On the dashed line every quantile "
        f"keeps its promise. From at most {MOST_INSTRUMENTS} instruments, chosen at random.",
    ):
        found = ask(queries.calibration(settings().source, part)).row(0, named=True)
        if not found["forecasts"]:
            st.write("None of the chosen instruments has a scored forecast.")
            return
        curve = scores.calibration(found)
        worst = curve.select((pl.col("share") - pl.col("level")).abs().max()).item()
        parts.figure(
            charts.calibration(curve),
            f"Calibration curve; the largest distance from the diagonal is {words.percent(worst)}.",
            curve,
            f"calibration-{_file(part)}",
        )


def _by(key: str, title: str, part: Part, name: str) -> None:
    whole = replace(part, model="") if key == "model_name" else part
    about = (
        "A model is scored on the weeks in which it spoke, so two models' weeks differ; candidates "
        "on equal weeks are on the page Model."
        if key == "model_name"
        else ""
    )
    with parts.section(title, about):
        found = scores.skill_by(ask(queries.weekly_by(whole, key)))
        parts.figure(
            charts.skill_by(found, name, part.model if key == "model_name" else str(part.horizon)),
            "; ".join(
                f"{row['key']}: {words.percent(row['skill'], 2)}"
                for row in found.iter_rows(named=True)
            ),
            found,
            f"by-{key}-{_file(part)}",
        )


def _by_instrument(part: Part) -> None:
    with parts.section(
        "Which instruments did it tell best and worst?",
        "Few weeks of one instrument say little: look at the bands.",
    ):
        found = ask(queries.by_instrument(part)).with_columns(
            low=pl.col("skill") - BAND * pl.col("skill_error"),
            high=pl.col("skill") + BAND * pl.col("skill_error"),
        )
        some = found
        if found.height > 2 * FEW:
            some = pl.concat([found.head(FEW), found.tail(FEW)])
            st.caption(f"The {FEW} best and the {FEW} worst of {found.height:,}.")
        drawn = some.rename({"symbol": "key"}).select("key", "skill", "low", "high")
        parts.figure(
            charts.skill_by(drawn, "instrument"),
            f"Skill of {found.height} instruments, from {words.percent(found['skill'][-1], 2)} to "
            f"{words.percent(found['skill'][0], 2)}.",
            found,
            f"by-instrument-{_file(part)}",
        )


def _file(part: Part) -> str:
    return "-".join(
        str(one)
        for one in (part.name or part.kind, part.model, part.instrument_id, part.horizon)
        if one
    ).replace(":", "-")
