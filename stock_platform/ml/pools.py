"""Pools: kinds of instruments that are trained, calibrated and promoted each by itself."""

POOLS = {"equity": "equity", "etf": "equity", "index": "equity", "metal": "metal", "fx": "fx"}
"""Asset class -> pool."""
