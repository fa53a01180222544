"""The page of a market's session: movers, breadth, sectors, volatility, correlations, metals."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import streamlit as st

from stock_platform.pages import parts, words
from stock_platform.pages.charts import market as charts
from stock_platform.pages.queries import market as queries
from stock_platform.pages.reading import ask

MOST_MOVERS = 10
MOST_RISKY = 15
MONTH = timedelta(days=30)
METALS = {"XAU": "gold", "XAG": "silver", "XPT": "platinum", "XPD": "palladium"}


def show() -> None:
    """Build the page."""
    st.title("What did the market do?", anchor=False)
    found = ask(queries.calendars())
    if found.is_empty():
        parts.note("No share has a bar yet: `make run` loads the source.", level="warning")
        _metals(date.today(), 366)  # noqa: DTZ011 - metals may be all there is
        return
    spans = {row["calendar"]: row for row in found.iter_rows(named=True)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        calendar = st.selectbox(
            "Exchange calendar", list(spans), key="calendar", bind="query-params"
        )
        span = spans[calendar]
        day = st.date_input(
            "Session",
            value=span["last"],
            min_value=span["first"],
            max_value=span["last"],
            key="session",
            bind="query-params",
            help="The page ends at this session, with the data as known now.",
        )
        days = parts.date_range()
    assert isinstance(day, date)
    since = max(span["first"], day - timedelta(days=min(days, 40_000)))
    overview = ask(queries.overview(calendar, since, day))
    if overview.is_empty() or overview["session"][-1] != day:
        parts.note(f"{day} was no session of {calendar}.", level="warning")
        if overview.is_empty():
            return
        day = overview["session"][-1]
    _figures(overview.row(-1, named=True))
    _movers(calendar, day)
    _breadth(overview, day)
    _sectors(calendar, day)
    _volatility(calendar, max(since, day - timedelta(days=366)), day)
    _correlations(day)
    _anomalies(day)
    _metals(day, days)


def _figures(row: dict[str, Any]) -> None:
    turnover = "unknown" if row["turnover"] is None else _short(row["turnover"])
    parts.facts(
        [
            ("Session", str(row["session"]), f"{row['instruments']} shares have a bar."),
            (
                "Rose | fell",
                f"{row['advances']} | {row['declines']}",
                f"{row['unchanged']} did neither.",
            ),
            (
                "Mean return",
                words.percent(row["mean_return"], 2, sign=True),
                f"Equal weights; median {words.percent(row['median_return'], 2, sign=True)}.",
            ),
            (
                "Spread of returns",
                words.percent(row["dispersion"], 2),
                "Standard deviation of the returns across shares.",
            ),
            (
                f"Turnover, {row['currency_of_turnover'] or 'several currencies'}",
                turnover,
                "Close times volume, as traded.",
            ),
            (
                "New highs | lows",
                f"{row['new_highs_250']} | {row['new_lows_250']}",
                "Closes above, or below, each of their 249 before.",
            ),
        ]
    )


def _movers(calendar: str, day: date) -> None:
    with parts.section(
        f"Which shares moved most on {day}?", "Close over the close before, splits taken out."
    ):
        sectors = ask(queries.sectors(calendar, day))["sector"].to_list()
        sector = st.selectbox(
            "Sector", ["every sector", *sorted(sectors)], key="sector", bind="query-params"
        )
        wanted = "" if sector == "every sector" else str(sector)
        found = ask(queries.movers(calendar, day, wanted, MOST_MOVERS))
        if found.is_empty():
            st.write("No share has a return for this session.")
            return
        first, last = found.row(0, named=True), found.row(-1, named=True)
        parts.figure(
            charts.changes(found, "symbol", "simple_return", "change of the close"),
            f"From {first['symbol']} {words.percent(first['simple_return'], 2, sign=True)} to "
            f"{last['symbol']} {words.percent(last['simple_return'], 2, sign=True)}.",
            found,
            f"movers-{calendar}-{day}",
        )


def _breadth(overview: pl.DataFrame, day: date) -> None:
    with parts.section("How many shares took part?", "Shares that rose and that fell, by session."):
        last = overview.row(-1, named=True)
        parts.figure(
            charts.breadth(overview),
            f"On {day} {last['advances']} shares rose and {last['declines']} fell.",
            overview,
            f"breadth-{day}",
        )


def _sectors(calendar: str, day: date) -> None:
    with parts.section("Which sectors led?", "Mean return of a sector's shares, equal weights."):
        found = ask(queries.sectors(calendar, day))
        if found.is_empty():
            st.write("No share of this calendar has a sector.")
            return
        parts.figure(
            charts.changes(found, "sector", "mean_return", "mean return"),
            "; ".join(
                f"{row['sector']} {words.percent(row['mean_return'], 2, sign=True)}"
                for row in found.iter_rows(named=True)
            ),
            found,
            f"sectors-{calendar}-{day}",
        )


def _volatility(calendar: str, since: date, day: date) -> None:
    with parts.section(
        "How restless are prices?",
        "Volatility over 22 sessions, a year: median and middle 80 % of instruments, for a year at "
        "most.",
    ):
        found = ask(queries.volatility(calendar, since, day))
        if found.is_empty():
            st.write("No instrument has 22 sessions yet.")
            return
        last = found.row(-1, named=True)
        parts.figure(
            charts.volatility(found),
            f"Median volatility {words.percent(last['median'])} a year on {last['session']}.",
            found,
            f"volatility-{calendar}-{day}",
        )
        parts.table(
            ask(queries.riskiest(calendar, day, MOST_RISKY)), f"most-volatile-{calendar}-{day}"
        )


def _correlations(day: date) -> None:
    with parts.section(
        "Which shares move together?",
        "Correlation of daily returns over 60 sessions, of the most traded instruments; the last "
        "three years only.",
    ):
        found = ask(queries.correlations(day))
        if found.is_empty():
            st.write(f"None for {day}: correlations are kept for the last three years.")
            return
        ends = (pl.min("correlation").alias("low"), pl.max("correlation").alias("high"))
        low, high = found.select(ends).row(0)
        parts.figure(
            charts.correlations(found),
            f"Correlations of {found['symbol'].n_unique()} instruments, from {low:+.2f} to "
            f"{high:+.2f}.",
            found,
            f"correlations-{day}",
        )


def _anomalies(day: date) -> None:
    with parts.section(
        "What was out of the ordinary in the last month?",
        "Figures far from the instrument's own 12 months before (robust z). A reason to look, not "
        "an error.",
    ):
        found = ask(queries.anomalies(day - MONTH, day, 50))
        if found.is_empty():
            st.write("Nothing.")
            return
        parts.table(found, f"anomalies-{day}")


def _metals(day: date, days: int) -> None:
    with parts.section(
        "What do gold and other metals cost?",
        "Official prices of the Central Bank of Russia, from the day they are valid; in USD "
        "through its rate of the same day.",
    ):
        found = ask(queries.metals())
        if found.is_empty():
            parts.note(
                "No metal prices are loaded: they come with `make run SOURCE=yahoo`, which asks "
                "the Central Bank of Russia."
            )
            return
        metal = st.segmented_control(
            "Metal",
            found["metal"].to_list(),
            default=found["metal"][0],
            required=True,
            format_func=lambda code: METALS.get(code, code),
            key="metal",
            bind="query-params",
        )
        span = found.row(by_predicate=pl.col("metal") == metal, named=True)
        until = min(max(day, span["first"]), span["last"])
        prices = ask(queries.metal_prices(metal, until - timedelta(days=min(days, 40_000)), until))
        name = METALS.get(metal, metal)
        for column, unit in (
            ("price_rub_per_gram", "RUB per gram"),
            ("price_usd_per_troy_ounce", "USD per troy ounce"),
        ):
            last = prices.drop_nulls(column)
            if last.is_empty():
                parts.note(f"No exchange rate is known, so there is no price in {unit}.")
                continue
            price = last[column][-1]
            parts.figure(
                charts.metal(prices, column, f"{name}, {unit}"),
                f"{name}: {price:,.2f} {unit} on {last['session'][-1]}.",
                prices,
                f"{name}-{unit.replace(' ', '-')}-{until}",
            )


def _short(number: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,.0f}"
