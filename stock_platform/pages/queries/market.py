"""Questions about the market of a calendar, by session."""

from __future__ import annotations

from datetime import date

from stock_platform.pages.reading import Query

MOST_IN_SQUARE = 24
"""Instruments of the correlation square: more can't be read."""


def calendars() -> Query:
    """Calendars of shares with their first and last session."""
    return Query(
        "SELECT calendar, min(session) AS first, max(session) AS last FROM agg_market_overview"
        " WHERE sector = '' GROUP BY calendar ORDER BY calendar"
    )


def overview(calendar: str, since: date, until: date) -> Query:
    """Breadth and returns of a calendar's shares by session."""
    return Query(
        "SELECT session, instruments, advances, declines, unchanged, new_highs_250, new_lows_250,"
        " mean_return, median_return, dispersion, turnover, currency_of_turnover"
        " FROM agg_market_overview WHERE calendar = {calendar:String} AND sector = ''"
        " AND session BETWEEN {since:Date} AND {until:Date} ORDER BY session",
        {"calendar": calendar, "since": since, "until": until},
    )


def sectors(calendar: str, session: date) -> Query:
    """Sectors of a session, the best first."""
    return Query(
        "SELECT sector, instruments, mean_return, median_return, advances, declines, turnover,"
        " currency_of_turnover, top_gainer, top_gainer_return, top_loser, top_loser_return"
        " FROM agg_market_overview WHERE calendar = {calendar:String} AND sector != ''"
        " AND session = {session:Date} ORDER BY mean_return DESC",
        {"calendar": calendar, "session": session},
    )


def movers(calendar: str, session: date, sector: str, most: int) -> Query:
    """The shares that rose and fell the most; `sector` '' is the whole market."""
    return Query(
        "SELECT bars.symbol AS symbol, shares.name AS name, shares.sector AS sector,"
        " exp(bars.log_return) - 1 AS simple_return, bars.close AS close,"
        " bars.currency AS currency, bars.volume AS volume, bars.instrument_id AS instrument_id"
        " FROM (SELECT * FROM int_daily_prices"
        " WHERE session = {session:Date} AND log_return IS NOT NULL) AS bars"
        " INNER JOIN (SELECT * FROM dim_instrument WHERE asset_class = 'equity'"
        " AND calendar = {calendar:String} AND ({sector:String} IN ('', sector))) AS shares"
        " ON bars.instrument_id = shares.instrument_id"
        " QUALIFY least(row_number() OVER (ORDER BY simple_return DESC, instrument_id),"
        " row_number() OVER (ORDER BY simple_return, instrument_id)) <= {most:UInt16}"
        " ORDER BY simple_return DESC, instrument_id",
        {"calendar": calendar, "session": session, "sector": sector, "most": most},
    )


def volatility(calendar: str, since: date, until: date) -> Query:
    """Volatility of 22 sessions across instruments by session: tenth, median, ninth decile."""
    return Query(
        "SELECT session, count() AS instruments,"
        " quantileExactInclusive(0.1)(assumeNotNull(volatility_22)) AS low,"
        " quantileExactInclusive(0.5)(assumeNotNull(volatility_22)) AS median,"
        " quantileExactInclusive(0.9)(assumeNotNull(volatility_22)) AS high"
        " FROM agg_volatility WHERE session BETWEEN {since:Date} AND {until:Date}"
        " AND calendar = {calendar:String} AND volatility_22 IS NOT NULL"
        " GROUP BY session ORDER BY session",
        {"calendar": calendar, "since": since, "until": until},
    )


def riskiest(calendar: str, session: date, most: int) -> Query:
    """Instruments by volatility of 22 sessions, with drawdown and beta."""
    return Query(
        "SELECT symbol, volatility_22, volatility_250, drawdown_250, beta_250"
        " FROM agg_volatility WHERE session = {session:Date} AND calendar = {calendar:String}"
        " ORDER BY volatility_22 DESC NULLS LAST, symbol LIMIT {most:UInt16}",
        {"calendar": calendar, "session": session, "most": most},
    )


def correlations(until: date) -> Query:
    """The square of the last week that ended by `until`, of the first MOST_IN_SQUARE tickers."""
    week = "(SELECT max(week) FROM agg_correlation WHERE session <= {until:Date})"
    some = (
        f"(SELECT DISTINCT symbol FROM agg_correlation WHERE week = {week}"  # noqa: S608
        f" ORDER BY symbol LIMIT {MOST_IN_SQUARE})"
    )
    return Query(
        "SELECT symbol, other_symbol, correlation, week, session FROM agg_correlation"  # noqa: S608
        f" WHERE week = {week} AND symbol IN {some} AND other_symbol IN {some}"
        " ORDER BY symbol, other_symbol",
        {"until": until},
    )


def metals() -> Query:
    """Metals with their first and last day."""
    return Query(
        "SELECT toString(metal) AS metal, min(session) AS first, max(session) AS last"
        " FROM fct_metal_prices GROUP BY metal ORDER BY metal = 'XAU' DESC, metal"
    )


def metal_prices(metal: str, since: date, until: date) -> Query:
    """Official prices of a metal in RUB per gram and USD per troy ounce."""
    return Query(
        "SELECT session, price_rub_per_gram, change_rub_percent, price_usd_per_troy_ounce,"
        " change_usd_percent FROM agg_gold_daily"
        " WHERE metal = {metal:String} AND session BETWEEN {since:Date} AND {until:Date}"
        " ORDER BY session",
        {"metal": metal, "since": since, "until": until},
    )


def anomalies(since: date, until: date, most: int) -> Query:
    """Figures far from what the instrument did before, the farthest first."""
    return Query(
        "SELECT session, symbol, kind, if(kind = 'volume', NULL, exp(value) - 1) AS change, z"
        " FROM fct_price_anomalies WHERE session BETWEEN {since:Date} AND {until:Date}"
        " ORDER BY abs(z) DESC LIMIT {most:UInt16}",
        {"since": since, "until": until, "most": most},
    )
