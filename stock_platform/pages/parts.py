"""What every page is built of: sections that fail alone, pictures with their numbers, controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import altair as alt
import polars as pl
import streamlit as st

from stock_platform.errors import PlatformError
from stock_platform.pages import words
from stock_platform.pages.queries import instrument as queries
from stock_platform.pages.reading import MartMissingError, ask, settings

SHOWN_ROWS = 250
"""Rows of a table on the page; the download has all."""
FACT_WIDTH = 167
"""Two beside each other on a phone."""
RANGES = {"3M": 92, "1Y": 366, "5Y": 1827, "All": 100_000}
"""Calendar days back from the last session."""


def page(build: Callable[[], None]) -> Callable[[], None]:
    """A page that tells a failure as a sentence, and how long it took on the server."""

    def shown() -> None:
        began = perf_counter()
        try:
            build()
        except PlatformError as error:
            st.error(str(error), icon=":material/error:")
        st.caption(f"Made in {perf_counter() - began:.2f} s. Times are UTC, days are sessions.")

    shown.__name__ = build.__name__
    return shown


@contextmanager
def section(title: str, explained: str = "") -> Iterator[None]:
    """A part of a page; what is not built yet is said in its place, the rest goes on."""
    st.subheader(title, anchor=False)
    if explained:
        st.caption(explained)
    try:
        yield
    except MartMissingError as error:
        st.warning(str(error), icon=":material/construction:")


def figure(
    chart: alt.Chart | alt.LayerChart, described: str, numbers: pl.DataFrame, name: str
) -> None:
    """A picture with a text for those who don't see it, its numbers and their download."""
    draw(chart, described)
    table(numbers, name, closed=True)


def draw(chart: alt.Chart | alt.LayerChart, described: str) -> None:
    """A picture without its numbers, its text in the page's colour: Streamlit's grey is pale."""
    readable: alt.Chart | alt.LayerChart = chart.configure_axis(
        labelColor="currentColor", titleColor="currentColor"
    ).configure_legend(labelColor="currentColor", titleColor="currentColor")
    st.altair_chart(readable, width="stretch", alt=described)


def table(frame: pl.DataFrame, name: str, *, closed: bool = False) -> None:
    """Rows with their download; `closed` shows them on demand, the newest of many."""
    where = st.expander("Numbers", icon=":material/table:") if closed else st.container()
    with where:
        some = frame.tail(SHOWN_ROWS) if closed else frame.head(SHOWN_ROWS)
        st.dataframe(
            some,
            hide_index=True,
            width="stretch",
            alt=name,
            column_config={
                column: told
                for column, kind in some.schema.items()
                if (told := _column(column, kind)) is not None
            },
        )
        if frame.height > SHOWN_ROWS:
            st.caption(f"{SHOWN_ROWS} of {frame.height:,} rows; the file has all.")
        download(frame, name)


def download(frame: pl.DataFrame, name: str) -> None:
    """A button that saves all rows, with the names and units of the marts."""
    st.download_button(
        "Download CSV",
        frame.write_csv,
        f"{name}.csv",
        "text/csv",
        key=f"csv-{name}",
        on_click="ignore",
        icon=":material/download:",
    )


def _column(name: str, kind: pl.DataType) -> Any:
    """How a column is written: days without hours, times in UTC; None as it comes."""
    if kind == pl.Date:
        return st.column_config.DateColumn(format="YYYY-MM-DD")
    if isinstance(kind, pl.Datetime):
        return st.column_config.DatetimeColumn(f"{name}, UTC", format="YYYY-MM-DD HH:mm")
    if kind == pl.Float64:
        return st.column_config.NumberColumn(format=None if "volume" in name else "%.4f")
    return None


def facts(pairs: Sequence[tuple[str, str, str]]) -> None:
    """Figures in a row that wraps: label, value, explanation."""
    with st.container(horizontal=True, gap="small"):
        for label, value, explained in pairs:
            st.metric(label, value, help=explained or None, border=True, width=FACT_WIDTH)


def note(text: str, *, level: str = "info") -> None:
    """A sentence that must not be missed; nothing for ''."""
    if text:
        say = {"info": st.info, "warning": st.warning, "good": st.success}[level]
        say(text)


def instrument(*, all_of_them: str = "") -> dict[str, Any] | None:
    """The control for the instrument, kept in the address as `instrument`: id or ticker.

    With `all_of_them` the first choice, of that name, is every instrument: None.
    """
    found = ask(queries.instruments())
    if found.is_empty():
        note("There are no instruments yet: `make run` loads the source.", level="warning")
        st.stop()
    rows = {row["instrument_id"]: row for row in found.iter_rows(named=True)}
    options = [*([""] if all_of_them else []), *rows]
    asked = st.query_params.get("instrument", "")
    match = [key for key, row in rows.items() if asked and asked in (key, row["symbol"])]
    if asked and not match:
        plain = asked.replace("`", "")[:40]  # an address may hold anything, Markdown too
        note(f"There is no instrument `{plain}`: choose another.", level="warning")
    chosen = st.selectbox(
        "Instrument",
        options,
        index=options.index(match[0]) if match else 0,
        format_func=lambda key: _label(rows[key]) if key else all_of_them,
        key="instrument-choice",
        filter_mode="contains",
        persist_state="session",
    )
    if chosen:
        st.query_params["instrument"] = chosen
    else:
        st.query_params.pop("instrument", None)
    return rows[chosen] if chosen else None


def _label(row: dict[str, Any]) -> str:
    return f"{row['symbol']} · {row['name']}"


def record(*, wide: bool = True) -> tuple[str, str] | None:
    """The control for the record: live forecasts or one backtest, never both; None without any."""
    from stock_platform.ml.issue import backtest_name
    from stock_platform.ml.record import MIN_WEEKS

    found = ask(queries.records())
    if found.is_empty():
        return None
    options = [(row["kind"], row["backtest_name"]) for row in found.iter_rows(named=True)]
    weeks = dict(zip(options, found["weeks"], strict=True))
    ours = ("backtest", backtest_name(settings().source))
    enough = [one for one in options if one[0] == "live" and weeks[one] >= MIN_WEEKS]
    default = (enough or [one for one in (ours, options[-1]) if one in options])[0]
    names = {words.record_name(*one): one for one in options}
    chosen = st.selectbox(
        "Record",
        list(names),
        index=options.index(default),
        key="record",
        bind="query-params",
        help="Live forecasts were issued before their week began. A backtest is the same code run "
        "over past weeks. They are never mixed.",
        width="stretch" if wide else 320,
    )
    return names[chosen]


def horizon() -> int:
    """The control for sessions ahead."""
    chosen = st.segmented_control(
        "Sessions ahead",
        [1, 2, 3, 4, 5],
        default=5,
        required=True,
        key="horizon",
        bind="query-params",
    )
    return int(chosen)


def date_range(default: str = "1Y") -> int:
    """The control for how far back pictures go, in days."""
    chosen = st.segmented_control(
        "Range", list(RANGES), default=default, required=True, key="range", bind="query-params"
    )
    return RANGES[chosen]
