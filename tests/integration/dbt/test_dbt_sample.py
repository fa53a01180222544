"""dbt build on the packaged sample: what it gives, and that it changes nothing twice."""

import csv
import gzip
import threading
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from stock_platform.lake.lake import Lake
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from stock_platform.warehouse import dbt as plain_dbt
from stock_platform.warehouse import reference
from stock_platform.warehouse.client import connect
from tests.support.dbt_project import content


@pytest.fixture
def client(sample: tuple[Settings, float]) -> Iterator[Any]:
    connection = connect(sample[0])
    yield connection
    connection.close()


def packaged(symbol: str) -> dict[str, tuple[float, float]]:
    """Close and Adj Close by session, as the package has them."""
    file = files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    with file.open("rb") as raw, gzip.open(raw, "rt") as text:
        return {
            row["Date"]: (float(row["Close"]), float(row["Adj Close"]))
            for row in csv.DictReader(text)
            if row["Ticker"] == symbol
        }


@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "IBM", "MSFT", "FB"])
def test_prices_as_printed_and_adjusted_in_proportion(client: Any, symbol: str) -> None:
    """Traded closes are the package's; total-return closes are its Adj Close times one constant."""
    expected = packaged(symbol)
    rows = client.query(
        "SELECT toString(session), close_traded, close_total_return, close_adjusted"
        f" FROM fct_daily_prices WHERE symbol = '{symbol}' ORDER BY session"
    ).result_rows
    assert {row[0]: row[1] for row in rows} == {day: close for day, (close, _) in expected.items()}
    adjusted = np.array([expected[row[0]][1] for row in rows])
    ratio = np.array([row[2] for row in rows]) / adjusted
    # Adj Close is printed in cents, and dividends were recovered from it to that precision.
    spread = np.abs(ratio / np.median(ratio) - 1)
    assert np.all(spread < 0.02 + 0.02 / adjusted), spread.max()


def test_the_split_of_aapl_leaves_no_jump(client: Any) -> None:
    rows = client.query(
        "SELECT close_traded, close_adjusted, log_return FROM fct_daily_prices"
        " WHERE symbol = 'AAPL' AND session IN ('2005-02-25', '2005-02-28') ORDER BY session"
    ).result_rows
    assert [row[0] for row in rows] == [88.99, 44.86]
    assert rows[0][1] == pytest.approx(88.99 / 2)
    assert rows[1][2] == pytest.approx(np.log(44.86 / (88.99 / 2)))


@pytest.mark.slow
def test_again_without_news_nothing_changes_and_readers_see_no_gap(
    sample: tuple[Settings, float], client: Any
) -> None:
    settings, _ = sample
    before = content(client, "market")
    assert before["int_daily_prices"][0] == before["fct_features_daily"][0] == 12154
    assert not [name for name in before if "__" in name]

    seen: set[tuple[str, tuple[int, str]]] = set()
    errors: list[Exception] = []
    stop = threading.Event()

    def poll() -> None:
        reader = connect(settings, user="reader")
        names = ["int_daily_prices", "fct_daily_prices", "fct_features_daily", "dim_session"]
        while not stop.is_set():
            try:
                seen.update(content(reader, "market", names).items())
            except Exception as error:  # noqa: BLE001
                errors.append(error)
            stop.wait(0.1)
        reader.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        reference.sync(client, Lake.open(settings), get_source(settings))
        done = plain_dbt.run(settings, "build")
    finally:
        stop.set()
        thread.join()
    assert done.returncode == 0, done.stdout[-4000:]
    assert errors == []
    assert seen == {(name, before[name]) for name, _ in seen}, "a reader saw something in between"
    assert content(client, "market") == before
