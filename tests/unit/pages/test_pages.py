"""Every page on a real warehouse: what it says, that its controls work, what it says is missing."""

from typing import Any

import polars as pl
import pytest
import streamlit as st

from stock_platform.errors import PlatformError
from stock_platform.pages import scores
from stock_platform.pages.parts import SHOWN_ROWS
from stock_platform.pages.queries import instrument as queries
from stock_platform.pages.reading import Query, read
from tests.support import page_world
from tests.unit.pages.conftest import Open, facts, texts


@pytest.mark.parametrize(
    ("name", "table"), [("instrument", "dim_instrument"), ("model", "promotions")]
)
def test_a_missing_mart_is_told_with_the_mend(
    client: Any, open_page: Open, name: str, table: str
) -> None:
    with page_world.missing(client, table):
        page = open_page(name)
    assert not page.exception
    (error,) = page.error
    assert table in error.value
    assert "make run" in error.value


def test_a_missing_mart_of_one_section_leaves_the_others(client: Any, open_page: Open) -> None:
    with page_world.missing(client, "agg_correlation"):
        page = open_page("market")
    assert not page.error
    assert "agg_correlation" in page.warning[0].value
    assert "What do gold and other metals cost?" in [header.value for header in page.subheader]


def test_the_instrument_page_shows_the_week_ahead(open_page: Open) -> None:
    page = open_page("instrument", instrument="AAA")
    assert not page.exception
    assert not page.error
    ledger = page_world.ledger_rows().filter(role="champion", horizon=5)
    week = ledger.row(-1, named=True)
    close = page_world.prices().filter(symbol="AAA")["close"][-1]
    assert facts(page) == {
        "AAA, close": f"{close:,.2f} USD",
        "Median forecast": f"{week['q50']:,.2f} USD",
        "80 % interval": f"{week['q10']:,.2f} – {week['q90']:,.2f}",  # noqa: RUF001
        "Chance of a rise": "50 %",
    }
    said = texts(page)
    assert "Pending: its last target" in said
    assert "1 of 300 expected sessions have no bar" in said
    assert page.query_params["instrument"] == "TST:AAA"


def test_controls_of_the_instrument_page(open_page: Open) -> None:
    page = open_page("instrument", instrument="AAA", basis="as traded", range="All")
    bars = page_world.prices().filter(symbol="AAA")
    (shown,) = (frame.value for frame in page.dataframe if "volume" in frame.value.columns)
    assert list(shown["close"]) == bars["close"].tail(SHOWN_ROWS).to_list()
    for option in ("adjusted", "total_return"):
        page.button_group(key="basis").set_value(option).run()
        assert not page.exception
    page.button_group(key="horizon").set_value(1).run()
    assert not page.exception
    page.selectbox(key="instrument-choice").set_value("TST:NEW").run()
    assert not page.exception
    assert facts(page).keys() == {"NEW, close"}


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("NEW", "`history_too_short`: 40 bars, 260 needed"),
        ("OLD", "`origin_missing`: its last bar is of"),
        ("OLD", "5 sessions before that of others"),
        ("NIX", "There is no instrument `NIX`"),
    ],
)
def test_what_is_not_known_is_said(open_page: Open, symbol: str, said: str) -> None:
    page = open_page("instrument", instrument=symbol)
    assert not page.exception
    assert said in texts(page)


def test_a_day_in_the_past_shows_what_was_known_then(open_page: Open) -> None:
    day = page_world.BARS[149]
    page = open_page("instrument", instrument="AAA", known_on=str(day))
    assert not page.exception
    then = page_world.prices().filter(pl.col("symbol") == "AAA", pl.col("session") <= day)
    assert f"the world could know {then.height} bars of AAA, the last of {day}" in texts(page)
    week = page_world.ledger_rows().filter(
        pl.col("role") == "champion", pl.col("horizon") == 5, pl.col("origin_session") == day
    )
    assert facts(page)["Median forecast"] == f"{week['q50'][0]:,.2f} USD"
    assert "None on record" in texts(page), "the split of the next session was not known"
    mine = open_page("instrument", instrument="AAA", known_on=str(day), knowledge="this platform's")
    assert "this platform had fetched no bar of AAA" in texts(mine)


def test_history_as_of_a_moment_is_on_the_basis_of_that_moment(client: Any) -> None:
    before, after = page_world.BARS[149], page_world.BARS[150]
    frames = {
        day: read(client, queries.history("TST:AAA", queries.Moment(day, "available_at")))
        for day in (before, after)
    }
    assert frames[before]["close_adjusted"][-1] == frames[before]["close_traded"][-1]
    halved = frames[after].filter(pl.col("session") == before)
    assert halved["close_adjusted"][0] == halved["close_traded"][0] / 2
    assert halved["volume_adjusted"][0] == 2000


def test_the_accuracy_page_agrees_with_the_scores(open_page: Open) -> None:
    page = open_page("accuracy")
    assert not page.exception
    assert not page.error
    scored = page_world.scores(page_world.ledger_rows()).filter(horizon=5)
    expected = scores.skill(scored.sort("origin_session"))
    shown = facts(page)
    assert shown["Weeks"] == str(scored.height)
    assert shown["Skill"] == f"{100 * expected.value:+.2f} %".replace("-", "−")  # noqa: RUF001
    assert shown["Inside 80 %"] == f"{100 * scored['is_inside_80'].mean():.1f} %"  # type: ignore[operator]
    for key, value in (("interval", 95), ("horizon", 2)):
        page.button_group(key=key).set_value(value).run()
        assert not page.exception
    page.selectbox(key="model").set_value("ewma").run()
    page.selectbox(key="instrument-choice").set_value("TST:AAA").run()
    assert not page.exception
    assert "AAA" in texts(page)


def test_the_market_page_agrees_with_the_overview(open_page: Open) -> None:
    page = open_page("market", session=str(page_world.BARS[-1]))
    assert not page.exception
    assert not page.error
    last = page_world.prices().filter(pl.col("session") == page_world.BARS[-1])
    rose = last.filter(pl.col("log_return") > 0).height
    assert facts(page)["Rose | fell"] == f"{rose} | {last.height - rose}"
    assert "No metal prices are loaded" in texts(page)
    page.button_group(key="range").set_value("3M").run()
    page.selectbox(key="sector").set_value("Industrials").run()
    assert not page.exception
    weekend = open_page("market", session="2020-05-09")
    assert "2020-05-09 was no session of XTST" in texts(weekend)


def test_the_model_page_names_the_champion_and_the_evidence(open_page: Open) -> None:
    page = open_page("model")
    assert not page.exception
    assert facts(page)["Champion"] == "ewma"
    assert "104 weeks" in texts(page)
    ledger = page.table[0].value
    assert list(ledger["decision"]) == ["promoted", "first champion"]
    assert list(ledger["who"]) == ["a test", "a test"]
    early = open_page("model", known_on=str(page_world.BARS[10]))
    assert facts(early)["Champion"] == "random_walk_calibrated"
    assert "No model has beaten the random walk" in texts(early)


def test_without_forecasts_the_pages_say_so(client: Any, open_page: Open) -> None:
    ledgers = ("forecasts", "promotions", "fct_forecast_accuracy", "agg_accuracy_by_week")
    with page_world.emptied(client, *ledgers):
        assert "Nothing has been forecast yet" in texts(open_page("instrument"))
        assert "No forecast has matured yet" in texts(open_page("accuracy"))
        assert "No model has been trained yet" in texts(open_page("model"))


def test_a_question_the_warehouse_refuses_is_an_error(client: Any) -> None:
    with pytest.raises(PlatformError, match=r"Not built yet.*nix.*make run"):
        read(client, Query("SELECT * FROM nix"))
    with pytest.raises(PlatformError, match=r"older version.*nix.*make run"):
        read(client, Query("SELECT nix FROM dim_session"))
    with pytest.raises(PlatformError, match="refuses the question"):
        read(client, Query("SELECT throwIf(1, 'broken')"))


def test_a_warehouse_that_is_down_is_told_with_the_mend(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "warehouse").mkdir()
    monkeypatch.setenv("STOCK_PLATFORM_HOME", str(tmp_path))
    st.cache_resource.clear()
    page = open_page("market")
    st.cache_resource.clear()
    (error,) = page.error
    assert "The warehouse does not answer" in error.value
    assert "make up" in error.value
