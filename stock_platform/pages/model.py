"""The page of the promotion ledger: which model speaks in each pool, who decided so, when, why."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from typing import Any

import polars as pl
import streamlit as st

from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.record import BAND
from stock_platform.pages import parts, words
from stock_platform.pages.charts import record as charts
from stock_platform.pages.queries import model as queries
from stock_platform.pages.reading import ask, settings

SHOWN_DECISIONS = 12


def show() -> None:
    """Build the page."""
    st.title("Which model speaks, and who decided so?", anchor=False)
    decisions = ask(queries.promotions(settings().source))
    if decisions.is_empty():
        parts.note(
            "No model has been trained yet, so nothing is decided: `make run` does.",
            level="warning",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        pool = st.selectbox(
            "Pool",
            decisions["pool"].unique().sort().to_list(),
            key="pool",
            bind="query-params",
            help="Kinds of instruments that are trained, calibrated and promoted by themselves.",
        )
        day = st.date_input(
            "What did we know on",
            value=None,
            min_value=date(1980, 1, 1),
            key="known_on",
            bind="query-params",
            help="Only decisions on data available by the end of that day (UTC). Empty: now.",
        )
    mine = decisions.filter(pl.col("pool") == pool)
    if isinstance(day, date):
        end = datetime.combine(day, time.max, UTC)
        mine = mine.filter(pl.col("data_as_of") <= end)
        if mine.is_empty():
            parts.note(f"By the end of {day} nothing had been decided in {pool}.", level="warning")
            return
    _speaker(mine, str(pool))
    _ledger(mine)
    _evidence(mine)


def _speaker(decisions: pl.DataFrame, pool: str) -> None:
    last = decisions.row(-1, named=True)
    since = _since(decisions, last["model_name"])
    challenger = last["challenger_name"]
    parts.facts(
        [
            (
                "Champion",
                last["model_name"],
                f"Version {last['model_version']}, digest {last['model_digest'][:12]}.",
            ),
            ("Speaks since", f"{since:%Y-%m-%d}", "Data of the decision that made it champion."),
            (
                "Last challenger",
                challenger or "none",
                f"Version {last['challenger_version']}." if challenger else "",
            ),
            ("Last decision", words.ACTIONS.get(last["action"], last["action"]), last["reason"]),
        ]
    )
    parts.note(words.champion(last["model_name"], pool))
    parts.note(f"Last decision, on data as of {last['data_as_of']:%Y-%m-%d}: {last['reason']}.")


def _since(decisions: pl.DataFrame, name: str) -> datetime:
    """Data of the decision since which the champion has had this name."""
    others = decisions.with_row_index().filter(pl.col("model_name") != name)["index"]
    first = int(others[-1]) + 1 if len(others) else 0
    found: datetime = decisions["data_as_of"][first]
    return found


def _ledger(decisions: pl.DataFrame) -> None:
    with parts.section(
        "What was decided, when, by whom and why?",
        "The promotion ledger, the newest first. A challenger is promoted only if it beats the "
        "champion and the random walk out of sample, both with t above the threshold.",
    ):
        told = decisions.reverse().select(
            pl.col("data_as_of").dt.strftime("%Y-%m-%d").alias("data as of"),
            pl.col("action").replace(words.ACTIONS).alias("decision"),
            pl.format("{} v{}", "model_name", "model_version").alias("champion after"),
            pl.col("challenger_name").alias("challenger"),
            pl.col("reason").str.replace_all("-", "−").alias("why"),  # noqa: RUF001
            pl.col("actor").alias("who"),
            pl.col("decided_at").dt.strftime("%Y-%m-%d %H:%M").alias("decided at"),
        )
        st.table(told.head(SHOWN_DECISIONS), hide_index=True, border="horizontal")
        if told.height > SHOWN_DECISIONS:
            st.caption(f"The last {SHOWN_DECISIONS} of {told.height}; the file has all.")
        parts.download(decisions, "promotions")


def _evidence(decisions: pl.DataFrame) -> None:
    with parts.section("What was the evidence?"):
        rows = decisions.reverse().rows(named=True)
        names = {
            f"{row['data_as_of']:%Y-%m-%d} {words.ACTIONS.get(row['action'], row['action'])} "
            f"({row['decision_id'][:6]})": row
            for row in rows
        }
        chosen = st.selectbox("Decision", list(names), key="decision", bind="query-params")
        evidence: dict[str, Any] = json.loads(names[chosen]["evidence"])
        candidates = candidate_table(evidence)
        if candidates.is_empty():
            st.write("None: a decision by hand, or the first, rests on no comparison.")
            return
        st.caption(
            f"Every candidate walked forward over the same {evidence['weeks']} weeks, "
            f"{evidence['first_week']} to {evidence['last_week']}, {evidence['rows']:,} forecasts. "
            "The diamond became or stayed champion."
        )
        parts.figure(
            charts.skill_by(candidates, "candidate", names[chosen]["model_name"]),
            "; ".join(
                f"{row['key']}: {words.percent(row['skill'], 2)}"
                for row in candidates.iter_rows(named=True)
            ),
            candidates,
            f"candidates-{names[chosen]['decision_id'][:12]}",
        )
        if evidence.get("against"):
            _tests(evidence)


def candidate_table(evidence: dict[str, Any]) -> pl.DataFrame:
    """Candidates of a decision, the best first: key, skill, low, high and other metrics.

    The band follows from the t of the weekly differences. Empty without candidates.
    """
    rows = []
    for name, found in evidence.get("candidates", {}).items():
        t = found.get("skill_t") or 0.0
        error = found["skill"] / t if name != BASELINE and t else 0.0
        rows.append(
            {
                "key": name,
                "skill": found["skill"],
                "low": found["skill"] - BAND * error,
                "high": found["skill"] + BAND * error,
                **{
                    metric: found.get(metric)
                    for metric in (
                        *("pinball", "crps", "mae_over_random_walk", "direction"),
                        *("coverage_50", "coverage_80", "coverage_95"),
                    )
                },
            }
        )
    return pl.DataFrame(rows).sort("skill", descending=True) if rows else pl.DataFrame()


def _tests(evidence: dict[str, Any]) -> None:
    tests = pl.DataFrame(
        [
            {
                "challenger": evidence["challenger"],
                "against": rival,
                "smaller loss": words.percent(test["improvement"], 2, sign=True),
                "t": f"{test['t']:.2f}",
                "needed": f"above {evidence['threshold_t']}",
                "beaten": "yes" if test["t"] > evidence["threshold_t"] else "no",
                "Diebold-Mariano p": _p_value(test["diebold_mariano_p"]),
            }
            for rival, test in sorted(evidence["against"].items())
        ]
    )
    st.table(tests, hide_index=True, border="horizontal")


def _p_value(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "below 0.0001"
