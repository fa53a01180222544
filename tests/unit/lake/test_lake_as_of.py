"""One macro, two engines, the same answer."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake import as_of
from stock_platform.lake.schema import EQUITY_PRICES
from tests.support.engines import clickhouse
from tests.support.lake import T0, SaidSource, bar, hour


def versions(*rows: tuple[str, float, float, float]) -> pl.DataFrame:
    """(symbol, close, known_at, available_at), the moments in hours after T0."""
    source = SaidSource()
    frames = []
    for symbol, close, known, available in rows:
        source.tables = {"equity_prices": [bar(symbol, close=close, available_at=T0)]}
        frame = source.frames(hour(known))["equity_prices"]
        frames.append(frame.with_columns(available_at=pl.lit(hour(available))))
    return pl.concat(frames)


LOG = versions(("A", 1, 5, 0), ("A", 2, 6, 6), ("A", 3, 9, 9), ("B", 7, 7, 1))


@pytest.mark.parametrize(
    ("at", "clock", "answer"),
    [
        (None, "known_at", {"A": 3, "B": 7}),
        (4.9, "known_at", {}),
        (5, "known_at", {"A": 1}),
        (6.5, "known_at", {"A": 2}),
        (8, "known_at", {"A": 2, "B": 7}),
        (0.5, "available_at", {"A": 1}),
        (5.9, "available_at", {"A": 1, "B": 7}),
        (6, "available_at", {"A": 2, "B": 7}),
        (None, "available_at", {"A": 3, "B": 7}),
    ],
)
def test_select(at, clock, answer):
    found = as_of.select(EQUITY_PRICES, LOG, None if at is None else hour(at), clock)
    assert dict(found.select("symbol", "close").iter_rows()) == answer
    assert found.schema == EQUITY_PRICES.polars_schema


def test_a_tie_is_broken_the_same_way_whatever_the_order():
    twice = pl.concat([LOG[0], LOG[0].with_columns(close=pl.lit(9.0), payload_digest=pl.lit("d2"))])
    for order in (twice, twice.reverse()):
        assert as_of.select(EQUITY_PRICES, order, None)["close"].to_list() == [9.0]


def _literals(dialect: str) -> tuple[str, str]:
    def moment(at: datetime) -> str:
        if dialect == "clickhouse":
            return f"toDateTime64('{at:%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"
        return as_of.timestamp(at)

    rows = " UNION ALL ".join(
        f"SELECT 's' AS source, '{r['symbol']}' AS instrument_id, {r['close']} AS close,"
        f" {moment(r['known_at'])} AS known_at, {moment(r['available_at'])} AS available_at,"
        " 'd' AS payload_digest"
        for r in LOG.iter_rows(named=True)
    )
    return f"({rows})", moment(hour(6.5))


def test_clickhouse_and_duckdb_agree():
    import duckdb

    statements = {}
    for dialect in ("duckdb", "clickhouse"):
        relation, at = _literals(dialect)
        statements[dialect] = [
            "SELECT instrument_id, close FROM ("
            + as_of.render(relation, ("source", "instrument_id"), moment, clock)
            + ") AS t ORDER BY 1"
            for moment in (at, None)
            for clock in ("known_at", "available_at", "greatest(known_at, available_at)")
        ]
    by_duckdb = [duckdb.connect().execute(sql).fetchall() for sql in statements["duckdb"]]
    by_clickhouse = clickhouse(*statements["clickhouse"])
    expected = [{"A": 2.0}, {"A": 2.0, "B": 7.0}, {"A": 2.0}] + 3 * [{"A": 3.0, "B": 7.0}]
    for answers in (by_duckdb, by_clickhouse):
        found = [{symbol: float(close) for symbol, close in answer} for answer in answers]
        assert found == expected


def test_the_macro_names_no_dbt_function():
    text = as_of.MACRO.read_text()
    for name in ("ref(", "var(", "config(", "adapter.", "this"):
        assert name not in text.split("-#}")[1]


def test_moments_need_a_time_zone_and_clocks_a_name():
    assert as_of.timestamp(T0 + timedelta(microseconds=1)).endswith("12:00:00.000001+00'")
    with pytest.raises(PlatformError, match="no time zone"):
        as_of.select(EQUITY_PRICES, LOG, T0.replace(tzinfo=None))
    with pytest.raises(PlatformError, match="no clock 'issued_at'"):
        as_of.select(EQUITY_PRICES, LOG, None, "issued_at")
