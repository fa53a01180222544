"""Ad-hoc analysis straight on the lake: no warehouse, no server, plain Python.

    .venv/bin/python docs/lake_analysis.py          # after `make run`, of any source

Every dataset of the lake is a table of an Iceberg catalog. Here DuckDB and polars read them, as
they are and as they were known at a moment; nothing is written.
"""

import os
from datetime import UTC, datetime

import polars as pl

from stock_platform.lake import Lake, query
from stock_platform.lake.schema import DATASETS
from stock_platform.settings import load_settings

# polars plans the scan with pyiceberg, which is here, not with a plugin of its own.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")

VERSIONS = " UNION ALL ".join(
    f"SELECT '{name}' AS dataset, count(*) AS versions, min(session) AS first_session,"  # noqa: S608
    f" max(session) AS last_session, max(known_at) AS last_told FROM {name}"
    for name in DATASETS
)

WILDEST_YEARS = """
    WITH returns AS (
        SELECT symbol, year(session) AS year, ln(close / lag(close) OVER (
            PARTITION BY instrument_id ORDER BY session
        )) AS log_return
        FROM equity_prices
        WHERE finality = 'final'
    ),
    yearly AS (
        SELECT symbol, year, sqrt(252 * avg(log_return ** 2)) AS volatility
        FROM returns
        WHERE abs(log_return) < 0.4  -- traded closes: a split is a jump in them, not a return
        GROUP BY ALL
        HAVING count(*) > 200
    )
    SELECT symbol, arg_min(year, volatility) AS calmest, min(volatility) AS volatility,
           arg_max(year, volatility) AS wildest, max(volatility) AS its_volatility
    FROM yearly
    GROUP BY symbol
    ORDER BY symbol
"""

LAST_BARS = """
    SELECT symbol, count(*) AS bars, max(session) AS last_session
    FROM equity_prices
    GROUP BY symbol
    ORDER BY symbol
"""


def main() -> None:
    """Print four answers."""
    settings = load_settings()
    lake = Lake.open(settings)

    print("Every version of every row (DuckDB):")
    with query.connect(lake, settings) as duck:
        print(duck.sql(VERSIONS).pl())
        middle = duck.sql("SELECT quantile_disc(session, 0.5) FROM equity_prices").fetchall()[0][0]

    print("\nThe calmest and the wildest year of each share, of rows as known now (DuckDB):")
    with query.connect(lake, settings, at=datetime.now(UTC)) as duck:
        print(duck.sql(WILDEST_YEARS).pl())

    moment = datetime(middle.year, middle.month, middle.day, tzinfo=UTC)
    print(f"\nWhat the world could know at {moment} (DuckDB):")
    with query.connect(lake, settings, at=moment, clock="available_at") as duck:
        print(duck.sql(LAST_BARS).pl())

    print("\nDividends per share and year, as traded (polars, lazily, the same catalog):")
    dividends = (
        pl.scan_iceberg(lake.catalog.table(DATASETS["corporate_actions"]))
        .filter(pl.col("action") == "dividend")
        .sort("known_at")
        .unique(["source", "instrument_id", "session"], keep="last")
        .group_by("symbol", pl.col("session").dt.year().alias("year"))
        .agg(pl.col("value").sum().round(3).alias("per_share"))
        .sort("symbol", "year")
    )
    print(dividends.collect())


if __name__ == "__main__":
    main()
