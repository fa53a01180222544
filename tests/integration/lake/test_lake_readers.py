"""Every reader sees the same rows, offline: ClickHouse, DuckDB and polars."""

from datetime import timedelta

import polars as pl
import pytest

from stock_platform.lake import query
from stock_platform.lake.schema import DATASETS
from tests.support.engines import clickhouse
from tests.support.lake import MONDAY, Workshop, bar, hour, rejected

COLUMNS = "instrument_id, toString(session), close, volume, finality, toString(known_at)"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Workshop:
    """Three commits of several days, one of them a revision."""
    made = Workshop(tmp_path_factory.mktemp("lake") / "home")
    days = [MONDAY + timedelta(days=n) for n in range(5)]
    made.load(*[bar(s, d) for s in "AB" for d in days], coverage=[rejected("f:1")])
    made.load(bar("A", days[2], close=11), at=hour(1))
    made.load(bar("A", days[4] + timedelta(days=1)), at=hour(2))
    return made


def expected(workshop: Workshop) -> list[tuple]:
    frame = workshop.lake.read("equity_prices")
    return sorted(
        frame.select(
            "instrument_id", pl.col("session").cast(str), "close", "volume", "finality"
        ).iter_rows()
    )


def test_clickhouse_through_the_table_and_by_path(workshop: Workshop):
    root = workshop.lake.root
    select = "SELECT instrument_id, toString(session), close, volume, finality FROM"
    listed = workshop.lake.objects("equity_prices")
    paths = ",".join(path.removeprefix(f"{root}/raw/") for path in listed["path"])
    table, files, location, types, one_day = clickhouse(
        f"{select} icebergLocal('{root}/iceberg/equity_prices') ORDER BY ALL",
        f"{select} file('{root}/raw/{{{paths}}}', Parquet) ORDER BY ALL",
        f"SELECT DISTINCT _path FROM file('{root}/raw/**/*.parquet') WHERE _path LIKE '%equity%'",
        f"DESCRIBE file('{listed['path'][0]}', Parquet)",
        f"SELECT count() FROM icebergLocal('{root}/iceberg/equity_prices')"
        f" WHERE session = '{MONDAY + timedelta(days=2)}'",
    )

    def typed(rows):
        return sorted((r[0], r[1], float(r[2]), float(r[3]), r[4]) for r in rows)

    assert typed(table) == expected(workshop)
    assert typed(files) == expected(workshop)
    assert sorted(row[0] for row in location) == listed["path"].to_list()
    assert {row[0]: row[1] for row in types} == {
        name: {
            pl.String(): "Nullable(String)",
            pl.Date(): "Nullable(Date32)",
            pl.Float64(): "Nullable(Float64)",
            pl.Datetime("us", "UTC"): "Nullable(DateTime64(6, 'UTC'))",
        }[kind]
        for name, kind in DATASETS["equity_prices"].columns.items()
    }
    assert one_day == [["3"]]


def test_duckdb_through_the_table(workshop: Workshop):
    columns, rows = query.query(
        workshop.lake,
        workshop.settings,
        "SELECT instrument_id, session::VARCHAR, close, volume, finality FROM equity_prices",
    )
    assert columns[0] == "instrument_id"
    assert sorted(rows) == expected(workshop)
    _, ((count,),) = query.query(
        workshop.lake,
        workshop.settings,
        f"SELECT count(*) FROM equity_prices WHERE session = '{MONDAY + timedelta(days=2)}'",
    )
    assert count == 3


def test_duckdb_as_of_equals_the_lake_s(workshop: Workshop):
    for at in (hour(0), hour(1), hour(2)):
        _, rows = query.query(
            workshop.lake,
            workshop.settings,
            "SELECT instrument_id, session, close FROM equity_prices ORDER BY ALL",
            at=at,
        )
        frame = workshop.lake.as_of("equity_prices", at)
        assert rows == list(frame.select("instrument_id", "session", "close").sort(pl.all()).rows())


def test_polars_through_the_table(workshop: Workshop):
    table = workshop.lake.catalog.table(DATASETS["equity_prices"])
    frame = pl.scan_iceberg(table).collect()
    found = frame.select(
        "instrument_id", pl.col("session").cast(str), "close", "volume", "finality"
    )
    assert sorted(found.iter_rows()) == expected(workshop)


def test_old_snapshots_stay_readable(workshop: Workshop):
    table = workshop.lake.catalog.table(DATASETS["equity_prices"])
    counts = [
        pl.scan_iceberg(table, snapshot_id=snapshot.snapshot_id).collect().height
        for snapshot in sorted(table.metadata.snapshots, key=lambda item: item.timestamp_ms)
    ]
    assert counts == [10, 11, 12]


def test_a_place_with_a_space_in_its_name(tmp_path):
    made = Workshop(tmp_path / "my home")
    made.load(bar(close=10))
    made.load(bar(close=11), at=hour(1))
    _, rows = query.query(made.lake, made.settings, "SELECT close FROM equity_prices ORDER BY 1")
    assert rows == [(10.0,), (11.0,)]
    (found,) = clickhouse(
        f"SELECT count() FROM icebergLocal('{made.lake.root}/iceberg/equity_prices')"
    )
    assert found == [["2"]]
