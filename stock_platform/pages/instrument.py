"""The page of one instrument: next week, history, past forecasts, accuracy, actions, coverage.

With a day chosen under "What did we know on" it shows the same as things stood then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl
import streamlit as st

from stock_platform.errors import PlatformError
from stock_platform.ml import refusals
from stock_platform.pages import instrument_record, parts, words
from stock_platform.pages.charts import prices as charts
from stock_platform.pages.completeness import coverage
from stock_platform.pages.queries import instrument as queries
from stock_platform.pages.queries.instrument import Moment
from stock_platform.pages.reading import ask, settings
from stock_platform.settings import load_settings

FAN_SESSIONS = 60
BASES = {
    "adjusted": "adjusted for splits",
    "traded": "as traded",
    "total_return": "payments reinvested",
}


@dataclass(frozen=True)
class Shown:
    """What the sections of the page share."""

    row: dict[str, Any]
    history: pl.DataFrame
    forecast: pl.DataFrame
    moment: Moment | None

    @property
    def id(self) -> str:
        """Permanent id."""
        return str(self.row["instrument_id"])

    @property
    def symbol(self) -> str:
        """Ticker now."""
        return str(self.row["symbol"])

    @property
    def last(self) -> date:
        """Session of the last bar (known then)."""
        last: date = self.history["session"][-1]
        return last


def show() -> None:
    """Build the page."""
    st.title("Where may a price be in a week?", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        row = parts.instrument()
        moment = _moment()
    assert row is not None
    history = ask(queries.history(row["instrument_id"], moment))
    if moment:
        last = history["session"][-1] if history.height else None
        text = words.known_then(row["symbol"], moment.day, moment.clock, history.height, last)
        parts.note(text)
    if history.is_empty():
        if not moment:
            parts.note(f"{row['symbol']} has no bar yet.", level="warning")
        return
    forecast = ask(queries.newest_forecast(settings().source, row["instrument_id"], moment))
    shown = Shown(row, history, forecast, moment)
    _figures(shown)
    _what_to_know(shown)
    _next_week(shown)
    _history(shown)
    instrument_record.show(shown)
    _actions(shown)
    _coverage(shown)


def _moment() -> Moment | None:
    day = st.date_input(
        "What did we know on",
        value=None,
        min_value=date(1980, 1, 1),
        key="known_on",
        bind="query-params",
        help="Choose a day to see the page as it stood at its end (UTC). Empty: now.",
    )
    whose = st.selectbox(
        "Whose knowledge",
        ["the world's", "this platform's"],
        key="knowledge",
        bind="query-params",
        help="The world's: what had been published by then, also where this platform fetched it "
        "later (`available_at`). This platform's: what it had fetched by then (`known_at`).",
    )
    if not isinstance(day, date):
        return None
    return Moment(day, "available_at" if whose == "the world's" else "known_at")


def _figures(shown: Shown) -> None:
    row, last = shown.row, shown.history.row(-1, named=True)
    facts = [
        (
            f"{shown.symbol}, close",
            words.money(last["close_traded"], row["currency"]),
            f"{row['name']}, {shown.id}. Last close as traded, of {shown.last}.",
        )
    ]
    if shown.forecast.height:
        week = shown.forecast.row(-1, named=True)
        currency = week["currency"]
        # The ledger's prices are per share as of the origin; beside the close of today, of today.
        basis = _basis(shown.history, week["origin_session"])
        low, median, high = (basis * week[name] for name in ("q10", "q50", "q90"))
        facts += [
            (
                "Median forecast",
                words.money(median, currency),
                f"For {week['target_session']}: half of the outcomes should be below it.",
            ),
            (
                "80 % interval",
                f"{words.money(low)} – {words.money(high)}",  # noqa: RUF001
                f"For {week['target_session']}: four outcomes of five should lie within.",
            ),
            (
                "Chance of a rise",
                words.percent(week["p_up"], 0),
                "Probability that the price at the target is above the one at the origin.",
            ),
        ]
    parts.facts(facts)


def _what_to_know(shown: Shown) -> None:
    """Everything that limits what the page can say, before any picture."""
    if shown.forecast.height:
        row = shown.forecast.row(0, named=True)
        pool = forecasting_pool(shown.row["asset_class"])
        parts.note(words.champion(row["model_name"], pool))
    if shown.moment:
        return
    source = settings().source
    span = ask(queries.span(shown.row["calendar"])).row(0, named=True)
    newest = max(span["last"] or shown.last, shown.last)
    calendar = ask(queries.sessions(shown.row["calendar"]))
    behind = calendar.filter(
        (pl.col("session") > shown.last) & (pl.col("session") <= newest)
    ).height
    closed = calendar.filter(
        (pl.col("session") > newest) & (pl.col("close_at") < datetime.now(UTC))
    ).height
    try:
        live = is_live()
    except PlatformError as error:
        parts.note(f"Whether the data are stale can't be told: {error}.", level="warning")
        live = False
    ended = shown.row["last_session"]
    if ended is not None and ended <= shown.last:
        parts.note(f"{shown.symbol} no longer trades: its last session was {ended}.")
    else:
        stale = words.staleness(shown.symbol, shown.last, behind, live=live, closed_since=closed)
        parts.note(stale, level="warning")
    if not live:
        st.caption(words.end_of_source(source, newest))


def _next_week(shown: Shown) -> None:
    with parts.section(
        f"Where may {shown.symbol} be in the next five sessions?",
        "Intervals that should hold 50, 80 and 95 % of outcomes. Prices are per share as of the "
        "last session before the forecast (its origin), dividends are not added back.",
    ):
        if shown.forecast.is_empty():
            _no_forecast(shown)
            return
        rows = shown.forecast
        first, last = rows.row(0, named=True), rows.row(-1, named=True)
        if not shown.moment:
            _missed_week(shown, first["origin_session"])
        origin = first["origin_session"]
        # A day in the past shows what was known then, and beside it what happened.
        now = ask(queries.history(shown.id)) if shown.moment else shown.history
        past = _as_of_origin(shown.history, origin).filter(pl.col("session") <= origin)
        after = _as_of_origin(now, origin).filter(
            pl.col("session").is_between(origin, last["target_session"])
        )
        unit = f"{last['currency']} per share as of {origin}"
        st.caption(
            f"{words.pending(last['target_session'], now['session'][-1])} Issued "
            f"{first['issued_at']:%Y-%m-%d %H:%M} from data as of {first['as_of']:%Y-%m-%d %H:%M} "
            f"by `{first['model_name']}` version {first['model_version']} "
            f"({words.record_name(first['kind'], first['backtest_name'])})."
        )
        parts.figure(
            charts.fan(
                past.tail(FAN_SESSIONS),
                charts.fan_bands(rows),
                after,
                unit,
            ),
            f"Fan chart: {shown.symbol} closed at {words.money(first['origin_price'])} on "
            f"{origin}; 80 percent of outcomes on {last['target_session']} should lie between "
            f"{words.money(last['q10'])} and {words.money(last['q90'])} {last['currency']}.",
            rows.select(
                "horizon", "target_session", *queries.QUANTILES, "mean", "p_up", "currency"
            ),
            f"forecast-{shown.symbol}-{origin}",
        )
        st.caption(
            f"`stock-platform reproduce {last['forecast_id']}` computes the last row again from "
            "the lake and compares every number."
        )


def _as_of_origin(history: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Closes (session, close) in shares as of the origin, the unit of the ledger."""
    return history.select("session", close=pl.col("close_adjusted") / _basis(history, origin))


def _basis(history: pl.DataFrame, origin: date) -> float:
    """What turns a price per share as of the origin into one per share of the last session.

    Raises:
        PlatformError: there is no bar at or before the origin.
    """
    basis = history.filter(pl.col("session") <= origin)["split_basis"]
    if basis.is_empty():
        raise PlatformError(
            f"the forecast of {origin} has no bar of its origin any more: build the marts again"
        )
    return float(basis[-1])


def _no_forecast(shown: Shown) -> None:
    if shown.moment:
        parts.note("No forecast of this instrument had been issued by then.", level="warning")
        return
    week = ask(queries.newest_week(settings().source))["week"][0]
    if week is None:
        parts.note("Nothing has been forecast yet: `make run` does.", level="warning")
        return
    _missed(shown, week)


def _missed_week(shown: Shown, origin: date) -> None:
    """Say so when the newest forecast is not of the newest week."""
    week = ask(queries.newest_week(settings().source))["week"][0]
    if week is not None and origin < week:
        _missed(shown, week)


def _missed(shown: Shown, week: date) -> None:
    bar = ask(queries.last_bar(shown.id)).row(0, named=True)
    at_origin = bool(bar["is_last_of_week"]) and bar["week"] == week
    reason, detail = refusals.refusal(at_origin, bar["session"], bar["history_sessions"])
    parts.note(words.refusal(shown.symbol, reason, detail, week), level="warning")


def _history(shown: Shown) -> None:
    with parts.section("What did it cost before?"):
        with st.container(horizontal=True):
            days = parts.date_range()
            basis = st.segmented_control(
                "Prices",
                list(BASES),
                default="adjusted",
                required=True,
                format_func=lambda name: BASES[name],
                key="basis",
                bind="query-params",
            )
        prices = _on_basis(shown.history, str(basis))
        prices = prices.filter(pl.col("session") > shown.last - timedelta(days=days))
        currency = shown.row["currency"]
        unit = {
            "adjusted": f"{currency} per share of {shown.last}",
            "traded": f"{currency} per share as traded",
            "total_return": f"{currency}, payments reinvested",
        }[str(basis)]
        low, high = prices.select(pl.min("close"), pl.max("close").alias("high")).row(0)
        parts.draw(
            charts.history(prices, unit),
            f"Closes of {shown.symbol} from {prices['session'][0]} to {shown.last}, between "
            f"{low:,.2f} and {high:,.2f} {unit}.",
        )
        parts.figure(
            charts.volume(prices),
            f"Shares of {shown.symbol} traded in the same time.",
            prices,
            f"history-{shown.symbol}-{basis}",
        )


def _on_basis(history: pl.DataFrame, basis: str) -> pl.DataFrame:
    """session, open, high, low, close, volume on a basis; only the close has a total return."""
    if basis == "total_return":
        factor = pl.col("close_total_return") / pl.col("close_traded")
        return history.select(
            "session",
            *((pl.col(f"{n}_traded") * factor).alias(n) for n in ("open", "high", "low", "close")),
            volume="volume_adjusted",
        )
    names = ("open", "high", "low", "close", "volume")
    return history.select("session", *(pl.col(f"{n}_{basis}").alias(n) for n in names))


def _actions(shown: Shown) -> None:
    with parts.section(
        "Which splits and payments changed its prices?",
        "The ex-date is the first session on the new basis or without the payment. A payment is "
        "per share as traded then.",
    ):
        found = ask(queries.actions(settings().source, shown.id, shown.moment))
        if found.is_empty():
            st.write("None on record.")
            return
        parts.table(found.rename({"session": "ex_date"}), f"actions-{shown.symbol}")


def _coverage(shown: Shown) -> None:
    with parts.section("Is a session missing?"):
        if shown.moment:
            st.write("Told for now only: clear the day above.")
            return
        row = shown.row
        span = ask(queries.span(row["calendar"])).row(0, named=True)
        expected = ask(queries.sessions(row["calendar"]))["session"]
        first = max(row["first_session"], span["first"] or shown.history["session"][0])
        last = min(row["last_session"] or date.max, max(span["last"] or shown.last, shown.last))
        reasons = ask(queries.reasons(settings().source, shown.id))
        found = coverage(
            expected.filter(expected.is_between(first, last)), shown.history["session"], reasons
        )
        text = words.missing(found.expected, found.missing.height)
        parts.note(text, level="warning" if found.missing.height else "good")
        if found.missing.height:
            parts.draw(charts.coverage(found.months), f"By month: {text}")
            told = found.missing.with_columns(
                meaning=pl.col("reason").replace_strict(words.REASONS, default=pl.col("reason"))
            )
            parts.table(told, f"missing-{shown.symbol}")
        if found.quarantined.height:
            st.write("Rows that were delivered and could not be used:")
            parts.table(found.quarantined, f"quarantined-{shown.symbol}")


def forecasting_pool(asset_class: str) -> str:
    """The pool an asset class is trained in."""
    from stock_platform.ml.pools import POOLS

    return POOLS.get(asset_class, asset_class)


@cache
def is_live() -> bool:
    """Whether the source asks a provider, so that the present is what it should show.

    Raises:
        PlatformError: its settings or files are unusable.
    """
    from stock_platform.sources import get_source

    return bool(get_source(load_settings()).live)
