"""The ClickHouse warehouse: a client, the local server, and what dbt needs of both."""
