"""Superset's SQLAlchemy dialect (`clickhousedb://`): reflection and queries, as the reader."""

from urllib.parse import quote

import pytest
import sqlalchemy as sa


@pytest.fixture
def engine(server, database):
    assert server.request(
        f"CREATE TABLE {database}.prices (symbol LowCardinality(String), session Date, "
        "close Nullable(Float64), known_at DateTime64(6, 'UTC') COMMENT 'when fetched') "
        "ENGINE = MergeTree ORDER BY (symbol, session)"
    ).ok
    assert server.request(
        f"INSERT INTO {database}.prices VALUES ('AAPL', '2024-01-02', 185.5, now64(6)), "
        "('IBM', '2024-01-02', NULL, now64(6))"
    ).ok
    assert server.request(f"CREATE VIEW {database}.latest AS SELECT * FROM {database}.prices").ok
    password = quote(server.passwords["reader"], safe="")
    made = sa.create_engine(
        f"clickhousedb://reader:{password}@{server.host}:{server.port}/{database}"
    )
    yield made
    made.dispose()


def test_reflection(engine, database):
    inspector = sa.inspect(engine)
    assert database in inspector.get_schema_names()
    assert "prices" in inspector.get_table_names(schema=database)
    assert inspector.has_table("prices", schema=database)
    assert not inspector.has_table("nothing", schema=database)
    assert "latest" in inspector.get_view_names(schema=database)
    columns = {c["name"]: c for c in inspector.get_columns("prices", schema=database)}
    assert list(columns) == ["symbol", "session", "close", "known_at"]
    assert columns["close"]["nullable"]
    table = sa.Table("prices", sa.MetaData(schema=database), autoload_with=engine)
    assert [c.name for c in table.columns] == list(columns)


def test_queries(engine, database):
    table = sa.Table("prices", sa.MetaData(schema=database), autoload_with=engine)
    with engine.connect() as connection:
        query = sa.select(table.c.symbol, sa.func.count()).group_by(table.c.symbol)
        assert sorted(connection.execute(query).all()) == [("AAPL", 1), ("IBM", 1)]
        bound = sa.text("SELECT close FROM prices WHERE symbol = :symbol")
        assert connection.execute(bound, {"symbol": "AAPL"}).scalar() == 185.5
        assert (
            connection.execute(sa.text("SELECT * FROM prices WHERE 0")).keys()
            == sa.Table("prices", sa.MetaData(), autoload_with=engine).columns.keys()
        )
        with pytest.raises(sa.exc.DatabaseError, match="UNKNOWN_TABLE"):
            connection.execute(sa.text("SELECT * FROM nothing"))
        with pytest.raises(sa.exc.DatabaseError, match="ACCESS_DENIED"):
            connection.execute(sa.text("SELECT * FROM file('/etc/hostname')"))
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1


def test_the_cursor_superset_reads(engine):
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("SELECT symbol, close FROM latest ORDER BY symbol LIMIT 10")
    assert [column[0] for column in cursor.description] == ["symbol", "close"]
    assert cursor.fetchall() == [("AAPL", 185.5), ("IBM", None)]
    raw.close()
