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
}
