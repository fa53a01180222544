"""The lake: write-once bitemporal objects, their catalog, what reads and what writes them."""

from stock_platform.lake.lake import Lake

__all__ = ["Lake"]
