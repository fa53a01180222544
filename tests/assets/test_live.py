"""`SOURCE=yahoo` against local servers that speak the providers' protocols: to a forecast, through
outages, and what a day's evening costs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from dagster import AssetCheckKey, AssetCheckSeverity, AssetKey, DagsterInstance

from stock_platform import calendars
from stock_platform.sources.yahoo import YahooSource
from tests.support import state
from tests.support.cbr_server import Bank, CbrServer, status
from tests.support.platform import Platform
from tests.support.yahoo_market import Cash, Listing, Split
from tests.support.yahoo_server import YahooServer

pytestmark = pytest.mark.slow

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
SESSIONS = 420
WEEKS = 12
Live = tuple[Platform, YahooServer, CbrServer]


@cache
def sessions() -> list[date]:
    """The newest sessions of New York that are due by now, found once: the clock goes on."""
    today = datetime.now(UTC).date()
    table = calendars.session_table("XNYS", today - timedelta(days=800), today)
    over = table.filter(pl.col("close_at") + YahooSource.publication_lag < datetime.now(UTC))
    return over["session"].to_list()[-SESSIONS:]


def listing(symbol: str, seed: int) -> Listing:
    """A share that wanders; as traded it halves at its split."""
    days = sessions()
    steps = np.random.default_rng(seed).normal(0, 0.015, len(days))
    shares = np.ones(len(days))
    splits, cash = [], [Cash(days[-40], 0.25)]
    if symbol == "BBB":
        splits = [Split(days[-30], 2)]
        shares[-30:] = 2
    close = 100 * np.exp(np.cumsum(steps)) / shares
    bars = pl.DataFrame(
        {
            "session": days,
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": 1e6 * shares,
        }
    )
    return Listing(symbol, bars, splits, cash)


UNIVERSE = (
    """\
instruments:
"""
    + "".join(
        f"""\
  - instrument_id: XNAS:{symbol}
    symbol: {symbol}
    name: Share {symbol}
    calendar: XNYS
    currency: USD
    sector: Technology
    first_session: {{first}}
    symbols: {{{{yahoo: {symbol}}}}}
"""
        for symbol in SYMBOLS
    )
    + """\
  - instrument_id: CBR:XAU
    symbol: XAU
    name: Gold
    asset_class: metal
    calendar: CBR
    currency: RUB
    first_session: {bank}
    symbols: {{cbr: "1"}}
  - instrument_id: CBR:USD
    symbol: USD
    name: US dollar
    asset_class: fx
    calendar: CBR
    currency: RUB
    first_session: {bank}
    symbols: {{cbr: R01235}}
"""
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    today = datetime.now(UTC).date()
    start = today - timedelta(days=60)
    bank = Bank.of(calendars.sessions("CBR", start, today))
    first = calendars.sessions("CBR", start, today)[0]
    (folder / "universe.yaml").write_text(UNIVERSE.format(first=sessions()[0], bank=first))
    shares = [listing(symbol, seed) for seed, symbol in enumerate(SYMBOLS)]
    with YahooServer(shares) as yahoo, CbrServer(bank) as cbr:
        platform = Platform(
            folder / "home",
            {
                "STOCK_PLATFORM_SOURCE": "yahoo",
                "STOCK_PLATFORM_UNIVERSE": str(folder / "universe.yaml"),
                "STOCK_PLATFORM_YAHOO_URL": yahoo.url,
                "STOCK_PLATFORM_YAHOO_REQUESTS_PER_MINUTE": "6000",
                "STOCK_PLATFORM_CBR_URL": cbr.url,
                "STOCK_PLATFORM_BACKTEST_WEEKS": str(WEEKS),
            },
        )
        yield platform, yahoo, cbr
        platform.down()


BACKFILL = (
    "dagster", "asset", "materialize", "-m", "stock_platform.definitions", "--select", "raw/yahoo",
    "--partition-range",
)  # fmt: skip


def test_a_killed_backfill_goes_on_with_what_it_had(live: Live, tmp_path: Path) -> None:
    """A run of its own: four shares have answered when it is killed, two hang."""
    _, yahoo, _ = live
    platform = Platform(tmp_path / "home", live[0].variables)
    hanging = SYMBOLS[4:]
    for symbol in hanging:
        yahoo.fail(symbol, "timeout", seconds=120)
    days = sessions()
    backfill = (*BACKFILL, f"{days[0]}...{days[-1]}")
    process = platform.start(*backfill)
    deadline = time.monotonic() + 120
    while sum(yahoo.asked(symbol) for symbol in SYMBOLS) < len(SYMBOLS):
        assert time.monotonic() < deadline, "it did not ask for all six"
        time.sleep(0.2)
    time.sleep(2)  # the fourth answer is on disk
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    yahoo.recover()
    before = {symbol: yahoo.asked(symbol) for symbol in SYMBOLS}
    platform.command(*backfill)
    asked = {symbol: yahoo.asked(symbol) - before[symbol] for symbol in SYMBOLS}
    assert asked == {symbol: int(symbol in hanging) for symbol in SYMBOLS}
    bars = "SELECT count(DISTINCT instrument_id), count(*) FROM equity_prices"
    assert lake(platform, bars) == [str(len(SYMBOLS)), str(len(SYMBOLS) * SESSIONS)]
    platform.down()


def test_a_backfill_killed_while_it_writes_prices_ends_as_if_left_alone(
    live: Live, tmp_path: Path
) -> None:
    """A SIGKILL among the price objects: what was told beside them lies in the lake already."""
    days = sessions()
    backfill = (*BACKFILL, f"{days[0]}...{days[-1]}")
    calm = Platform(tmp_path / "calm", live[0].variables)
    calm.command(*backfill)
    killed = Platform(tmp_path / "killed", live[0].variables)
    prices = killed.home / "lake" / "raw" / "yahoo" / "equity_prices"
    process = killed.start(*backfill)
    deadline = time.monotonic() + 120
    while not prices.exists():
        assert time.monotonic() < deadline, "it wrote no price"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(list(prices.rglob("*.parquet"))) < SESSIONS
    killed.command(*backfill)
    for query in (
        "SELECT symbol, session, close, volume, finality FROM equity_prices ORDER BY ALL",
        "SELECT symbol, session, action, value FROM corporate_actions ORDER BY ALL",
        "SELECT symbol, session, reason, row_ref, field FROM coverage ORDER BY ALL",
    ):
        wanted = lake(calm, query)
        assert lake(killed, query) == wanted
        assert wanted or "coverage" in query
    answer = json.loads(killed.command("stock-platform", "replay", "--json").stdout)
    assert answer["same"]
    assert answer["sources"][0]["interrupted_loads"]
    calm.down()
    killed.down()


def sql(platform: Platform, query: str) -> list[list[str]]:
    done = platform.command("stock-platform", "sql", "--format", "tsv", query)
    return [line.split("\t") for line in done.stdout.splitlines()]


def lake(platform: Platform, query: str) -> list[str]:
    done = platform.command("stock-platform", "lake", "--format", "tsv", query)
    return done.stdout.split()


def test_an_outage_turns_red_and_keeps_what_arrived(live: Live) -> None:
    """The first load, with a provider that answers for half of the shares."""
    platform, yahoo, _ = live
    for symbol in SYMBOLS[:3]:
        yahoo.fail(symbol, "not_found")
    done = platform.run(check=False)
    yahoo.recover()
    assert done.returncode == 1
    assert "no_outage" in done.stderr
    bars = "SELECT count(DISTINCT instrument_id), count(*) FROM equity_prices"
    assert lake(platform, bars) == ["3", str(3 * SESSIONS)]
    why = "SELECT DISTINCT reason, field, value FROM coverage WHERE symbol = 'AAA'"
    assert lake(platform, why) == ["provider_missing", "response", "not_found"]


def test_an_outage_of_the_bank_does_not_hold_up_the_shares_nor_turn_green(live: Live) -> None:
    platform, yahoo, cbr = live
    before = yahoo.counts()["chart"]
    cbr.fail("", status(500))
    done = platform.run(check=False)
    cbr.heal()
    assert done.returncode == 1
    assert "ingest_beside: FAILED, going on without" in done.stderr
    assert "no_outage" in done.stderr.splitlines()[-2]
    # Three had been answered for, and their newest sessions are asked for again.
    assert yahoo.counts()["chart"] - before == len(SYMBOLS)
    assert int(sql(platform, "SELECT count() FROM market.forecasts")[0][0]) > 0


def test_the_same_code_goes_all_the_way_to_a_forecast(live: Live) -> None:
    platform, _, _ = live
    issued = sql(platform, "SELECT count(), sum(sipHash64(forecast_id)) FROM market.forecasts")
    forecasts = json.loads(platform.command("stock-platform", "run", "--json").stdout)["forecasts"]
    assert [row["symbol"] for row in forecasts] == list(SYMBOLS)
    assert all(row["low_80"] < row["last_price"] < row["high_80"] for row in forecasts)
    assert all(row["scored"] >= WEEKS - 2 for row in forecasts)
    again = sql(platform, "SELECT count(), sum(sipHash64(forecast_id)) FROM market.forecasts")
    assert again == issued

    split = sql(
        platform,
        "SELECT symbol, max(split_factor) FROM market.int_daily_prices GROUP BY symbol"
        " HAVING max(split_factor) != 1",
    )
    assert split == [["BBB", "2"]]
    gold = sql(
        platform,
        "SELECT count() > 0, countIf(price_usd_per_troy_ounce IS NULL) FROM"
        " market.fct_metal_prices WHERE metal = 'XAU'",
    )
    assert gold == [["1", "0"]]


def test_running_again_changes_nothing(live: Live) -> None:
    platform, _, _ = live
    before = state.lake_objects(platform), state.tables(platform)
    assert platform.run().stderr.count("up to date") == 5
    assert (state.lake_objects(platform), state.tables(platform)) == before


def test_coverage_accounts_for_every_session_and_shows_it(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, _, _ = live
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.get() as dagster:
        event = dagster.get_latest_materialization_event(AssetKey("session_coverage"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["share_final_of_due"].value == 1.0
    assert metadata["dagster/row_count"].value > len(SYMBOLS) * SESSIONS
    assert str(metadata["heat_map"].value).startswith("![Coverage")


def test_a_large_revision_raises_a_warning_and_loses_nothing(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, yahoo, _ = live
    one = yahoo.listings["AAA"]
    day = one.bars["session"][-4]
    restated = pl.when(pl.col("session") == day).then(1.05).otherwise(1.0)
    prices = ("open", "high", "low", "close")
    one.bars = one.bars.with_columns(pl.col(name) * restated for name in prices)
    yahoo.changed()
    day_of_load = ["--select", "raw/yahoo", "--partition", str(datetime.now(UTC).date())]
    module = ["-m", "stock_platform.definitions"]
    platform.command("dagster", "asset", "materialize", *day_of_load, *module)
    platform.run()
    assert sql(
        platform,
        "SELECT symbol, session, kind, round(change, 4) FROM market.fct_price_revisions",
    ) == [["AAA", str(day), "revision", "0.05"]]
    versions = f"SELECT count(*) FROM equity_prices WHERE symbol = 'AAA' AND session = '{day}'"
    assert lake(platform, versions) == ["2"]
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    with DagsterInstance.get() as dagster:
        key = AssetCheckKey(AssetKey("fct_price_revisions"), "no_large_revision")
        found = dagster.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert found.event is not None
    evaluation = found.event.asset_check_evaluation
    assert evaluation is not None
    assert not evaluation.passed
    assert evaluation.severity == AssetCheckSeverity.WARN
