"""The packaged sample against its own adjusted close: docs/sample-data.md redone."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from stock_platform import calendars
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.sources.sample import SampleSource

KNOWN_AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    source = SampleSource()
    return source.extract(*source.span(), KNOWN_AT).tables


@pytest.fixture(scope="module")
def printed() -> pl.DataFrame:
    """The packaged file, read without any of our code."""
    path = SampleSource().folder / "stocks.csv.gz"
    return pl.read_csv(path, try_parse_dates=True).sort("Ticker", "Date")


def test_it_is_the_default_source(tmp_path) -> None:
    source = get_source(Settings(home=tmp_path))
    assert source.name == "sample"
    assert source.span() == (date(2000, 3, 1), date(2013, 3, 1))
    assert {i.instrument_id: (i.symbol, i.calendar, i.currency) for i in source.instruments()} == {
        "XNAS:AAPL": ("AAPL", "XNYS", "USD"),
        "XNAS:FB": ("FB", "XNYS", "USD"),
        "XNAS:GOOG": ("GOOG", "XNYS", "USD"),
        "XNAS:MSFT": ("MSFT", "XNYS", "USD"),
        "XNYS:IBM": ("IBM", "XNYS", "USD"),
    }
    firsts = {i.symbol: i.first_session for i in source.instruments()}
    assert firsts["FB"] == date(2012, 5, 18)
    assert firsts["GOOG"] == date(2004, 8, 19)


def test_every_printed_bar_is_there_as_printed(tables, printed) -> None:
    bars = tables["equity_prices"].sort("symbol", "session")
    assert dict(bars["symbol"].value_counts().iter_rows()) == ROWS
    names = ["Ticker", "Date", "Open", "High", "Low", "Close"]
    ours = bars.select("symbol", "session", "open", "high", "low", "close")
    assert ours.rows() == printed.select(names).rows()
    assert bars["volume"].to_list() == printed["Volume"].cast(pl.Float64).to_list()


def test_no_bar_is_missing_or_off(tables, printed) -> None:
    assert tables["coverage"].is_empty()
    for (symbol,), mine in printed.group_by("Ticker"):
        days = mine["Date"].to_list()
        assert days == calendars.sessions("XNYS", days[0], days[-1]), symbol
    outside = pl.any_horizontal(
        pl.col("High") < pl.col("Low"),
        *[~pl.col(c).is_between(pl.col("Low"), pl.col("High")) for c in ("Open", "Close")],
    )
    assert printed.filter(outside).is_empty()


def test_the_splits_and_the_special_dividend(tables) -> None:
    actions = tables["corporate_actions"]
    splits = actions.filter(action="split").select("symbol", "session", "value").rows()
    assert splits == [
        ("AAPL", date(2000, 6, 21), 2.0),
        ("AAPL", date(2005, 2, 28), 2.0),
        ("MSFT", date(2003, 2, 18), 2.0),
    ]
    special = actions.filter(symbol="MSFT", session=date(2004, 11, 15))
    assert special.select("action", "value").rows() == [("dividend", 3.08)]
    counts = (
        actions.filter(action="dividend")
        .group_by("symbol")
        .agg(pl.len(), pl.col("value").sum().round(6))
    )
    assert sorted(counts.rows()) == [("AAPL", 3, 7.95), ("IBM", 52, 19.84), ("MSFT", 37, 7.77)]
    # declared in whole cents, though nothing told the recovery so
    cents = actions.filter(action="dividend")["value"] * 100
    assert (cents - cents.round()).abs().max() < 1e-9


def test_the_split_of_2005_leaves_no_jump(tables) -> None:
    apple = tables["equity_prices"].filter(symbol="AAPL")
    before, after = (
        apple.filter(session=d)["close"][0] for d in (date(2005, 2, 25), date(2005, 2, 28))
    )
    assert (before, after) == (88.99, 44.86)  # as printed
    assert np.log(2 * after / before) == pytest.approx(0.0082, abs=1e-4)


def factors(tables, symbol: str, reinvested_at: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Close, split factor and total-return factor, both anchored at the first session."""
    bars = tables["equity_prices"].filter(symbol=symbol).sort("session")
    close, days = bars["close"].to_numpy(), bars["session"].to_list()
    split, total = np.ones(len(close)), np.ones(len(close))
    for row in tables["corporate_actions"].filter(symbol=symbol).iter_rows(named=True):
        at = days.index(row["session"])
        if row["action"] == "split":
            split[at:] *= row["value"]
            total[at:] *= row["value"]
        elif reinvested_at == "ex_close":
            total[at:] *= 1 + row["value"] / close[at]
        else:
            total[at:] /= 1 - row["value"] / close[at - 1]
    return close, split, total


def spread(ratio: np.ndarray) -> float:
    return float(ratio.max() / ratio.min() - 1)


@pytest.mark.parametrize("symbol", ROWS)
def test_adjusted_prices_are_proportional_to_the_samples_own(tables, printed, symbol: str) -> None:
    adjusted = printed.filter(pl.col("Ticker") == symbol)["Adj Close"].to_numpy()
    close, split, total = factors(tables, symbol, "ex_close")
    # reinvested at the close of the ex-date: one constant per instrument, to 13 digits
    assert spread(adjusted / (close * total)) < 1e-12
    # splits alone: what is left is exactly the product of the dividends
    dividends = total / split
    assert spread(adjusted / (close * split)) == pytest.approx(spread(dividends), rel=1e-9)
    paid = {"AAPL": 0.01475, "FB": 0, "GOOG": 0, "IBM": 0.17548, "MSFT": 0.32668}[symbol]
    assert spread(dividends) == pytest.approx(paid, abs=1e-5)
    # reinvested at the previous close, the other convention: within a quarter of a percent
    _, _, other = factors(tables, symbol, "previous_close")
    assert spread(adjusted / (close * other)) < 0.0025


def test_the_noise_is_nine_digits_below_the_smallest_dividend(printed) -> None:
    for (symbol,), mine in printed.group_by("Ticker"):
        factor = (mine["Adj Close"] / mine["Close"]).to_numpy()
        steps = np.abs(factor[1:] / factor[:-1] - 1)
        assert steps[steps < 1e-6].max() < 1e-13, symbol
        assert steps[steps > 1e-6].min(initial=1) > 1e-3, symbol


def test_history_counts_as_available_on_its_day(tables) -> None:
    bar = tables["equity_prices"].filter(symbol="AAPL", session=date(2005, 2, 28))
    assert bar["available_at"][0] == datetime(2005, 3, 1, 1, tzinfo=UTC)  # 16:00 New York + 4 h
    assert set(tables["equity_prices"]["availability"]) == {"assumed"}
    assert set(tables["equity_prices"]["finality"]) == {"final"}
    assert set(tables["equity_prices"]["known_at"]) == {KNOWN_AT}


def test_a_universe_chooses_and_renames(tmp_path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_text(
        "instruments:\n- {instrument_id: 'MY:1', symbol: IBM, name: Big Blue, calendar: XNYS, "
        "currency: USD, first_session: 2000-03-01}\n"
    )
    source = SampleSource(universe=path)
    extract = source.extract(*source.span(), KNOWN_AT)
    assert set(extract.tables["equity_prices"]["instrument_id"]) == {"MY:1"}
    assert source.fingerprint() != SampleSource().fingerprint()
