"""The local warehouse server: ClickHouse's HTTP protocol in front of the embedded engine (chDB).

One process holds the engine and its data directory. Nothing here knows about stocks, dbt or
Dagster, and nothing outside this package imports chDB.
"""
