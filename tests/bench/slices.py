"""What the dashboards ask of the marts, one query per slice. `{symbol}` is an instrument's."""

SLICES = {
    "price history of an instrument": """
        SELECT session, open_adjusted, high_adjusted, low_adjusted, close_adjusted, volume_adjusted
        FROM market.fct_daily_prices WHERE symbol = '{symbol}' ORDER BY session""",
    "movers of the last session": """
        SELECT symbol, close_traded, log_return FROM market.fct_daily_prices
        WHERE session = (SELECT max(session) FROM market.int_daily_prices)
        ORDER BY log_return DESC LIMIT 10""",
    "features of the last session": """
        SELECT symbol, feature_vol_22, feature_vol_250 FROM market.fct_features_daily
        WHERE session = (SELECT max(session) FROM market.int_daily_prices)
        ORDER BY feature_vol_22 DESC LIMIT 20""",
    "weekly history of an instrument": """
        SELECT week, open_traded, high_traded, low_traded, close_traded, close_adjusted
        FROM market.fct_weekly_prices WHERE symbol = '{symbol}' ORDER BY week""",
    "breadth of a market over five years": """
        SELECT session, advances, declines, new_highs_250, mean_return, dispersion
        FROM market.agg_market_overview
        WHERE calendar = 'XNYS' AND sector = '' AND session >= today() - 1826 ORDER BY session""",
    "sectors of the last session": """
        SELECT sector, mean_return, median_return, turnover, top_gainer, top_loser
        FROM market.agg_market_overview
        WHERE session = (SELECT max(session) FROM market.agg_market_overview)""",
    "risk of an instrument": """
        SELECT session, volatility_22, volatility_250, drawdown_250, beta_250
        FROM market.agg_volatility WHERE symbol = '{symbol}' ORDER BY session""",
    "correlation square of the last week": """
        SELECT symbol, other_symbol, correlation FROM market.agg_correlation
        WHERE week = (SELECT max(week) FROM market.agg_correlation)""",
    "anomalies of the last month": """
        SELECT session, symbol, kind, value, z FROM market.fct_price_anomalies
        WHERE session > (SELECT max(session) FROM market.agg_market_overview) - 30
        ORDER BY abs(z) DESC LIMIT 50""",
}
