"""reference.sync: the tables Python writes, replaced at once and only when something changed."""

from datetime import date

import polars as pl
import pytest

from stock_platform.lake.lake import Lake
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import reference
from stock_platform.warehouse.client import connect
from tests.support.dbt_project import content

TABLES = ["lake_objects", "reference_instruments", "reference_sessions"]


def states(client):
    return client.query(
        "SELECT name, uuid FROM system.tables WHERE database = currentDatabase()"
        " AND name LIKE 'reference%' OR name = 'lake_objects' ORDER BY name"
    ).result_rows


def test_unchanged_tables_are_not_touched(sample: tuple[Settings, float]) -> None:
    settings, _ = sample
    client = connect(settings)
    lake, source = Lake.open(settings), get_source(settings)
    counts = reference.sync(client, lake, source)
    before, rows = states(client), content(client, "market", TABLES)
    assert counts == {name: rows[name][0] for name in TABLES}
    assert reference.sync(client, lake, source) == counts
    assert states(client) == before

    client.command("DELETE FROM reference_sessions WHERE session = '2005-02-28'")
    client.command("CREATE TABLE reference_sessions__new (left UInt8) ENGINE = Memory")
    reference.sync(client, lake, source)
    assert content(client, "market", TABLES) == rows
    assert states(client) != before
    assert not client.query("SHOW TABLES LIKE '%__new'").result_rows
    client.close()


def test_what_the_tables_say(sample: tuple[Settings, float]) -> None:
    settings, _ = sample
    client = connect(settings)
    source = get_source(settings)
    last = source.span()[1]
    ahead = client.query(
        f"SELECT count(), max(session) FROM reference_sessions WHERE session > '{last}'"
    ).result_rows[0]
    assert ahead == (reference.SESSIONS_AHEAD, date(2013, 4, 15))
    facebook = client.query(
        "SELECT instrument_id, calendar, currency, first_session FROM reference_instruments"
        " WHERE symbol = 'FB'"
    ).result_rows
    assert facebook == [("XNAS:FB", "XNYS", "USD", date(2012, 5, 18))]
    listed = client.query("SELECT sum(rows) FROM lake_objects WHERE dataset = 'equity_prices'")
    assert listed.result_rows == [(12154,)]
    client.close()


def test_the_order_of_the_source_does_not_matter() -> None:
    rows = [("d", "b", "s", date(2020, 1, 2), 1, 5), ("d", "a", "s", date(2020, 1, 2), 1, 5)]
    frame = pl.DataFrame(rows, schema=list(reference.LAKE_OBJECTS.columns), orient="row")
    typed = reference._typed(reference.LAKE_OBJECTS, frame)
    assert typed["path"].to_list() == ["a", "b"]
    assert typed.schema == pl.Schema(reference.LAKE_OBJECTS.polars_schema)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        reference._typed(reference.LAKE_OBJECTS, frame.drop("rows"))
