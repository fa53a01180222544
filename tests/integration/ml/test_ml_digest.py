"""The weekly digest over tables with a few chosen rows, and as it looks."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_platform.digest.content import MOST, Digest, read_digest
from stock_platform.digest.render import to_html, to_markdown, write
from stock_platform.errors import PlatformError
from stock_platform.ml.ledger import FORECASTS, PROMOTIONS
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.settings import Settings
from stock_platform.warehouse.client import connect

WEEK = date(2024, 5, 6)
FRIDAY = WEEK + timedelta(days=4)
NOW = datetime(2024, 5, 11, tzinfo=UTC)
TABLES = {
    "dim_instrument": "instrument_id String, symbol String, asset_class String, calendar String,"
    " first_session Date, last_session Nullable(Date)",
    "dim_session": "calendar String, session Date, week Date",
    "int_daily_prices": "instrument_id String, session Date",
    "stg_coverage": "source String, instrument_id String, symbol String, session Date,"
    " row_ref String, reason String, field String, value String, detail String,"
    " known_at DateTime64(6, 'UTC')",
    "fct_price_revisions": "symbol String, session Date, figure String, value_before Float64,"
    " value_after Float64, kind String, largest_change Float64, known_at DateTime64(6, 'UTC')",
    "fct_price_anomalies": "symbol String, session Date, kind String, z Float64",
    "fct_corporate_actions": "symbol String, session Date, action String, value Float64,"
    " unit String, currency String",
    "fct_forecast_accuracy": "kind String, backtest_name String, symbol String, horizon UInt8,"
    " origin_session Date, target_session Date, currency String, median Float64, actual Float64,"
    " is_inside_50 Bool, is_inside_80 Bool, is_inside_95 Bool, pinball_loss Float64,"
    " baseline_pinball_loss Float64, origin_price Float64",
    "forecasts": ", ".join(f"`{name}` {kind}" for name, kind in FORECASTS.items()),
    "promotions": ", ".join(f"`{name}` {kind}" for name, kind in PROMOTIONS.items()),
}


@pytest.fixture
def market(home: Settings) -> Iterator[Any]:
    """An empty database with the tables the digest reads."""
    client = connect(home)
    client.command("CREATE DATABASE digest")
    client.database = "digest"
    for name, columns in TABLES.items():
        client.command(f"CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY tuple()")
    put(client, "dim_session", *(("XNYS", WEEK + timedelta(days=n), WEEK) for n in range(5)))
    yield client
    client.command("DROP DATABASE digest")
    client.close()


def put(client: Any, table: str, *rows: tuple[Any, ...]) -> None:
    client.insert(table, rows)


def listed(client: Any, *symbols: str) -> None:
    rows = [(f"X:{name}", name, "equity", "XNYS", date(2020, 1, 2), None) for name in symbols]
    put(client, "dim_instrument", *rows)


def forecast(client: Any, symbol: str, origin: date, price: float, width: float = 0.1, **more: Any):
    """A champion's row whose quantiles lie evenly within `width` of the price."""
    steps = {
        name: price * (1 + width * (place / 10 - 1)) for place, name in enumerate(COLUMN_NAMES)
    }
    row = {name: "" for name, kind in FORECASTS.items() if "String" in kind}
    row |= {"forecast_id": f"{symbol}{origin}", "source": "sample", "kind": "backtest"}
    row |= {"backtest_name": "sample-1", "role": "champion", "horizon": 5, "model_name": "har"}
    row |= {"instrument_id": f"X:{symbol}", "symbol": symbol, "currency": "USD", "issued_at": NOW}
    row |= {"origin_session": origin, "target_session": origin + timedelta(days=7), "as_of": NOW}
    row |= {"model_version": 1, "origin_price": price, "mean": price, "p_up": 0.5, **steps, **more}
    client.insert("forecasts", [[row[name] for name in FORECASTS]], column_names=list(FORECASTS))


def scored(client: Any, target: date, inside: bool, loss: float, symbol: str = "A") -> None:
    row = ("backtest", "sample-1", symbol, 5, target - timedelta(days=7), target, "USD", 10.0)
    put(client, "fct_forecast_accuracy", (*row, 11.0, inside, inside, True, loss, 1.0, 10.0))


def test_nothing_forecast_is_told(market: Any) -> None:
    with pytest.raises(PlatformError, match="nothing has been forecast from sample yet"):
        read_digest(market, "sample")
    forecast(market, "A", FRIDAY, 10)
    with pytest.raises(PlatformError, match="in the week of 2024-04-29"):
        read_digest(market, "sample", date(2024, 5, 1))
    with pytest.raises(PlatformError, match="nothing has been forecast from yahoo"):
        read_digest(market, "yahoo")


def test_forecasts_stand_beside_those_of_the_week_before(market: Any) -> None:
    listed(market, "A", "B", "C")
    before = FRIDAY - timedelta(weeks=1)
    forecast(market, "A", before, 10, p_up=0.4)
    forecast(market, "C", before, 30)
    forecast(market, "A", FRIDAY, 11, width=0.2, p_up=0.6)
    forecast(market, "A", FRIDAY, 11, role="baseline", p_up=0.9)
    forecast(market, "A", FRIDAY, 11, horizon=4, p_up=0.9)
    forecast(market, "B", FRIDAY, 20)
    found = read_digest(market, "sample", FRIDAY)
    assert (found.week, found.origin, found.target) == (WEEK, FRIDAY, FRIDAY + timedelta(days=7))
    shown = found.forecasts.select("symbol", "price", "p_up", "p_up_before").rows()
    assert shown == [("A", 11, 0.6, 0.4), ("B", 20, 0.5, None)]
    assert found.forecasts["width"].to_list() == pytest.approx([0.32, 0.16])
    assert found.news == [
        "Not forecast: C. The week's page of the asset `forecasts` says why.",
        "Forecast anew: B.",
        "No longer forecast: C.",
        "80 % interval much wider than a week ago: A (+100 %).",
    ]


def test_a_live_forecast_goes_before_a_backtest(market: Any) -> None:
    forecast(market, "A", FRIDAY, 10, issued_at=NOW + timedelta(days=9))
    forecast(market, "A", FRIDAY, 12, kind="live", backtest_name="")
    found = read_digest(market, "sample")
    assert found.kind == "live"
    assert found.forecasts["price"].to_list() == [12]


def test_one_record_speaks_for_the_week(market: Any) -> None:
    """B was refused live and filled in later: its row is of another record."""
    listed(market, "A", "B")
    forecast(market, "A", FRIDAY, 12, kind="live", backtest_name="")
    forecast(market, "B", FRIDAY, 20, issued_at=NOW + timedelta(days=9))
    found = read_digest(market, "sample")
    assert (found.kind, found.backtest_name) == ("live", "")
    assert found.forecasts["symbol"].to_list() == ["A"]
    assert found.news[0].startswith("Not forecast: B.")


def test_text_of_a_provider_is_no_markup(market: Any) -> None:
    forecast(market, "A", FRIDAY, 10)
    told = "![x](http://example.org/x.png)\n| <script>"
    bad = ("sample", "X:A", "A", FRIDAY, "f.csv:3", "rejected", "high", "-1", told, NOW)
    put(market, "stg_coverage", bad)
    markdown = to_markdown(read_digest(market, "sample"))
    assert "!\\[x\\](http://example.org/x.png) \\| &lt;script>" in markdown


def test_the_record_is_of_the_forecasts_own_kind(market: Any) -> None:
    forecast(market, "A", FRIDAY, 10)
    for n in range(60):
        scored(market, FRIDAY - timedelta(weeks=n), n % 2 == 0, 0.9 if n < 52 else 1.5)
    put(
        market,
        "fct_forecast_accuracy",
        ("live", "", "A", 5, WEEK, FRIDAY, "USD", 10.0, 11.0, False, False, False, 9.0, 1.0, 10.0),
    )
    found = read_digest(market, "sample")
    assert found.matured.height == 1
    assert found.record[0] == (
        "Forecasts that reached their target in this week: 1, of which 1 inside the 50 %"
        " interval, 1 inside the 80 % interval, 1 inside the 95 % interval."
    )
    assert "backtest sample-1" in found.record[1]
    assert "60" in found.record[1]
    assert "the last 52 weeks were better than the random walk: skill +10.00 %" in found.record[2]


def test_who_speaks_and_what_was_decided(market: Any) -> None:
    forecast(market, "A", FRIDAY, 10)
    blank = {name: "" if "String" in kind else 0 for name, kind in PROMOTIONS.items()}
    for name, moment, action in (
        ("random_walk_calibrated", NOW - timedelta(weeks=9), "initial"),
        ("har", NOW - timedelta(days=1), "promote"),
    ):
        row = blank | {
            "decided_at": NOW,
            "data_as_of": moment,
            "source": "sample",
            "pool": "equity",
        }
        row |= {"action": action, "model_name": name, "actor": "training", "reason": "it is better"}
        market.insert("promotions", [list(row.values())], column_names=list(row))
    metal = blank | {"decided_at": NOW, "data_as_of": NOW - timedelta(weeks=9), "source": "sample"}
    metal |= {"pool": "metal", "model_name": "random_walk_calibrated", "model_version": 2}
    market.insert("promotions", [list(metal.values())], column_names=list(metal))
    earlier = NOW - timedelta(weeks=1)
    forecast(market, "A", FRIDAY - timedelta(weeks=1), 10, as_of=earlier)
    past = read_digest(market, "sample", WEEK - timedelta(weeks=1))
    assert past.champions[0].startswith("equity: random_walk_calibrated, version 0. No model")
    found = read_digest(market, "sample")
    assert found.champions[0] == "equity: har, version 0."
    assert found.champions[1].startswith("metal: random_walk_calibrated, version 2. No model has")
    assert found.decisions == ["equity: har promoted by training: it is better."]


def test_every_incident_of_the_week_and_no_other(market: Any) -> None:
    listed(market, "A", "B")
    forecast(market, "A", FRIDAY, 10)
    for n in range(5):  # A lacks Tuesday, B Thursday, which was closed for it
        day = WEEK + timedelta(days=n)
        put(
            market,
            "int_daily_prices",
            *[(f"X:{s}", day) for s, out in (("A", 1), ("B", 3)) if n != out],
        )
    tuesday, thursday, last_week = (WEEK + timedelta(days=n) for n in (1, 3, -4))
    why = ("sample", "X:A", "A", tuesday, "", "provider_missing", "", "", "no row", NOW)
    closed = ("sample", "X:B", "B", thursday, "", "closed", "", "", "", NOW)
    bad = ("sample", "X:A", "A", FRIDAY, "f.csv:3", "rejected", "high", "-1", "below the low", NOW)
    put(market, "stg_coverage", why, closed, bad)
    put(market, "fct_price_revisions", ("B", last_week, "close", 10.0, 10.5, "revision", 0.05, NOW))
    old = NOW - timedelta(weeks=2)
    put(market, "fct_price_revisions", ("B", last_week, "close", 1.0, 2.0, "revision", 1.0, old))
    put(market, "fct_price_anomalies", ("A", FRIDAY, "return", -7.6), ("A", last_week, "gap", 9.0))
    put(market, "fct_corporate_actions", ("B", tuesday, "split", 2.0, "new shares per old", ""))
    put(
        market,
        "fct_corporate_actions",
        ("A", tuesday, "dividend", 0.3, "currency per share", "USD"),
    )
    found = {
        kind.title: (kind.total, kind.rows.rows())
        for kind in read_digest(market, "sample").incidents
    }
    assert found == {
        "Sessions without a bar": (1, [("A", tuesday, "provider_missing")]),
        "Delivered rows that were not used": (1, [("A", FRIDAY, "high -1: below the low")]),
        "Figures a provider restated": (1, [("B", last_week, "close 10 became 10.5")]),
        "Unusual bars, a reason to look": (
            1,
            [("A", FRIDAY, "return 8 robust deviations below its usual")],
        ),
        "Splits and payments": (
            2,
            [
                ("A", tuesday, "dividend of 0.3 USD per share"),
                ("B", tuesday, "split of 2 new shares per old"),
            ],
        ),
    }


@pytest.fixture
def digest(market: Any) -> Digest:
    """Of more instruments than a table shows, one with a name that is markup."""
    for n in range(MOST + 5):
        forecast(market, f"S{n:02d}", FRIDAY, 10 + n, p_up=0.4 + n / 100)
    forecast(market, "<b>|X", FRIDAY, 10, p_up=0.9)
    return read_digest(market, "sample")


def test_the_page_needs_no_other_file(digest: Digest) -> None:
    html = to_html(digest)
    sources = re.findall(r'(?:src|href)="([^"]{0,60})', html)
    assert sources
    assert all(source.startswith("data:") for source in sources), sources
    assert "http" not in html
    assert "&lt;b&gt;|X" in html
    assert "<b>" not in html
    (csv,) = re.findall(r'href="data:text/csv;base64,([^"]+)"', html)
    assert pl.read_csv(base64.b64decode(csv)).height == MOST + 6


def test_long_tables_show_both_ends(digest: Digest) -> None:
    markdown = to_markdown(digest)
    shown = re.findall(r"^\| (S\d\d|&lt;b>\\\|X) ", markdown, re.MULTILINE)
    assert len(shown) == MOST
    assert shown[0] == "&lt;b>\\|X"
    assert shown[-1] == "S00"
    assert "6 more instruments" in markdown
    assert "Nothing: every expected bar is there" in markdown


def test_written_twice_it_is_the_same(digest: Digest, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write(digest, tmp_path / "a")]
    again = [path.read_bytes() for path in write(replace(digest), tmp_path / "b")]
    assert first == again
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "sample-2024-05-06.html",
        "sample-2024-05-06.md",
    ]
