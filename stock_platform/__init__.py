"""Daily market data an analyst can trust, and a week-ahead price forecast with its record."""
