"""The client against recorded bodies and against a server that speaks, and breaks, the protocol."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from pathlib import Path

import polars as pl
import pytest
import yfinance

from stock_platform.lake.store import LocalStore
from stock_platform.sources import yahoo_body
from stock_platform.sources.base import SourceError
from stock_platform.sources.fetching import Gate
from stock_platform.sources.packed import packed_keys, read_packed
from stock_platform.sources.responses import Journal, Response
from stock_platform.sources.yahoo_client import ReplayClient, YahooClient
from stock_platform.sources.yahoo_session import SIDE_REQUESTS, YahooSession
from tests.support.lake import settings_in
from tests.support.yahoo_market import Cash, Listing, Split, bars_of, moment
from tests.support.yahoo_server import YahooServer

RECORDED = Path(__file__).parents[2] / "fixtures" / "yahoo"
START = date(2020, 1, 1)
BODIES = {
    "AAPL": "chart-AAPL-2020-08-31-to-2020-11-07.json",
    "AMZN": "chart-AMZN-2020-01-01-to-2020-01-03.json",
    "EURUSD=X": "chart-EURUSD_X-2020-01-01-to-2020-01-03.json",
    "GC=F": "chart-GC_F-2020-01-01-to-2020-01-03.json",
    "MSFT": "chart-MSFT-dividends-2021-02-01-to-2022-01-31.json",
    "OCDO.L": "chart-OCDO.L-2020-01-01-to-2020-01-03.json",
}
WEEK = [date(2024, 5, 20) + timedelta(days=n) for n in range(5)]
NOW = moment("2024-06-01T12:00")


def week(symbol: str = "AAPL", **more) -> Listing:
    return Listing(symbol, bars_of([(day, 100.0 + n, 1000) for n, day in enumerate(WEEK)]), **more)


@pytest.fixture
def server():
    with YahooServer([week()], now=NOW) as running:
        yield running


@pytest.fixture
def client(server, tmp_path):
    """Opens clients of the server that do not wait between tries."""
    opened: list[YahooClient] = []

    def connect(*, tries: int = 4, trip_after: int = 100, **more) -> YahooClient:
        gate = Gate(
            "Yahoo Finance",
            per_minute=1_000_000,
            tries=tries,
            backoff=0.0,
            trip_after=trip_after,
            sleep=lambda _: None,
        )
        settings = settings_in(tmp_path, yahoo_url=server.url)
        opened.append(YahooClient(settings, gate=gate, **more))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def recorded(symbol: str) -> Response:
    body = (RECORDED / BODIES[symbol]).read_bytes()
    return Response(symbol, START, "https://query2.finance.yahoo.com", 200, NOW, body)


@pytest.fixture
def replay(tmp_path):
    with ReplayClient(settings_in(tmp_path), [recorded(symbol) for symbol in BODIES]) as opened:
        yield opened


@pytest.fixture(params=["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def here(request, monkeypatch):
    """A computer in this time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- recorded bodies -----------------------------------------------------------------------------


def test_sessions_of_recorded_bodies_are_the_exchanges_days(replay, here):
    answers = {symbol: replay.history(symbol, START) for symbol in BODIES}
    sessions = {symbol: answer.bars["session"].to_list() for symbol, answer in answers.items()}
    assert {answer.failure for answer in answers.values()} == {None}
    assert sessions["OCDO.L"] == [date(2020, 1, 2)]
    assert sessions["EURUSD=X"] == [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)]
    assert sessions["GC=F"] == [date(2020, 1, 2)]
    assert sessions["AMZN"] == [date(2020, 1, 2)]
    assert (sessions["AAPL"][0], sessions["AAPL"][-1]) == (date(2020, 8, 31), date(2020, 11, 6))
    assert len(sessions["MSFT"]) == 252

    pence = answers["OCDO.L"]
    assert (pence.currency, pence.time_zone, pence.exchange) == ("GBp", "Europe/London", "LSE")
    assert pence.bars.row(0)[2:7] == (1279.5, 1286.5699462890625, 1258.0, 1259.5, 728520.0)
    assert pence.first_trade == date(2010, 7, 21)
    assert pence.fetched_at == NOW
    assert answers["AAPL"].actions.rows() == [
        (date(2020, 8, 31), "split", 4.0, None),
        (date(2020, 11, 6), "dividend", 0.205, None),
    ]
    assert answers["MSFT"].actions["session"].to_list() == [
        date(2021, 2, 17),
        date(2021, 5, 19),
        date(2021, 8, 18),
        date(2021, 11, 17),
    ]


@pytest.mark.parametrize("symbol", sorted(BODIES))
def test_bars_are_those_of_yfinance(replay, monkeypatch, symbol):
    frames = []
    history = yfinance.Ticker.history

    def listen(self, *args, **kwargs):
        frames.append(history(self, *args, **kwargs))
        return frames[-1]

    monkeypatch.setattr(yfinance.Ticker, "history", listen)
    monkeypatch.setattr(YahooSession, "_end_call", lambda _: None)  # it goes on to its frame
    bars = replay.history(symbol, START).bars
    (frame,) = frames
    assert [day.date() for day in frame.index] == bars["session"].to_list()
    for name in ("open", "high", "low", "close", "volume"):
        assert frame[name.capitalize()].to_list() == bars[name].to_list()


def test_nothing_before_the_start_is_in_an_answer(replay):
    answer = replay.history("AAPL", date(2020, 11, 6))
    assert answer.bars["session"].to_list() == [date(2020, 11, 6)]
    assert answer.actions["action"].to_list() == ["dividend"]


@pytest.mark.parametrize(
    ("file", "status", "failure"),
    [
        ("scheb_noData.json", 200, "empty"),
        ("error_400_no_data_range.json", 400, "empty"),
        ("error_400_no_data_range.json", 200, "empty"),
        ("error_404_not_found.json", 404, "not_found"),
        ("error_404_not_found.json", 200, "not_found"),
        ("error_429_edge.txt", 429, "rate_limited"),
        ("error_429_edge.txt", 200, "rate_limited"),
    ],
)
def test_recorded_failures_are_recognised(tmp_path, file, status, failure):
    body = (RECORDED / file).read_bytes()
    response = Response("CAPIO.ST", START, "", status, NOW, body)
    with ReplayClient(settings_in(tmp_path), [response]) as client:
        answer = client.history("CAPIO.ST", START)
    assert answer.failure == failure
    assert "CAPIO.ST" in answer.detail
    assert answer.bars.is_empty()
    assert answer.bars.columns == list(yahoo_body.BARS)


def test_a_replay_names_what_was_not_recorded(replay):
    with pytest.raises(SourceError, match="IBM is not there"):
        replay.history("IBM", START)
    with pytest.raises(SourceError, match="reaches back to 2020-01-01, 2019-12-31 is asked for"):
        replay.history("AAPL", START - timedelta(days=1))


# --- requests ------------------------------------------------------------------------------------


def test_one_request_per_symbol_and_two_more(server, client):
    symbols = [f"S{n}" for n in range(24)]
    for symbol in symbols:
        server.listings[symbol] = week(symbol)
    asking = client()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda symbol: asking.history(symbol, WEEK[0]), symbols))
    assert [answer.symbol for answer in answers] == symbols
    assert {answer.bars.height for answer in answers} == {5}
    assert server.counts() == {"cookie": 1, "getcrumb": 1, "chart": 24}
    assert asking.requests == 26
    charts = [seen.query for seen in server.seen if seen.endpoint == "chart"]
    assert {query["period1"] for query in charts} == {str(int(moment("2024-05-19").timestamp()))}
    assert {query["events"] for query in charts} == {"div,splits,capitalGains"}
    assert all(query["crumb"] for query in charts)


def test_the_same_history_can_be_asked_again_and_is_not_taken_from_a_cache(server, client):
    asking = client()
    first = asking.history("AAPL", WEEK[0])
    server.listings["AAPL"].missing.add(WEEK[4])
    server.changed()
    second = asking.history("AAPL", WEEK[0])
    assert (first.bars.height, second.bars.height, server.asked("AAPL")) == (5, 4, 2)
    assert first.payload_digest != second.payload_digest


def test_two_clients_of_two_servers_do_not_mix_up_their_crumbs(server, client, tmp_path):
    with YahooServer([week("MSFT")], now=NOW) as other:
        with YahooClient(settings_in(tmp_path, yahoo_url=other.url)) as second:
            first = client()
            for _ in range(2):
                assert first.history("AAPL", WEEK[0]).failure is None
                assert second.history("MSFT", WEEK[0]).failure is None
        assert other.counts()["getcrumb"] == server.counts()["getcrumb"] == 1


@pytest.mark.parametrize("symbol", ["", "A B", "A/B", "../x", "US0378331005", "A?b", "AAPL\n"])
def test_what_can_not_be_a_symbol_is_refused_before_any_request(server, client, symbol):
    with pytest.raises(SourceError, match="not a symbol of Yahoo"):
        client().history(symbol, START)
    assert server.seen == []


# --- failures ------------------------------------------------------------------------------------

TRIES = 3
FAULTS = {
    # fault: (kind, chart requests in three tries)
    "rate_limited": ("rate_limited", 3),
    "unauthorized": ("unauthorized", 2),
    "not_found": ("not_found", 1),
    "bad_request": ("bad_request", 1),
    "no_range": ("empty", 1),
    "server_error": ("server_error", 3),
    "timeout": ("timeout", 3),
    "connection": ("connection", 3),
    "truncated": ("malformed", 3),
    "cut": ("malformed", 3),
    "malformed": ("malformed", 3),
    "consent_page": ("consent_page", 3),
    "empty": ("empty", 1),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_every_failure_is_told_apart_and_asked_for_a_bounded_number_of_times(server, client, fault):
    kind, asked = FAULTS[fault]
    server.fail("AAPL", fault, seconds=5)
    server.listings["MSFT"] = week("MSFT")
    asking = client(tries=TRIES, timeout=0.4 if fault == "timeout" else 10)
    answer = asking.history("AAPL", WEEK[0])
    # curl itself sends once more when a connection that it kept open turns out to be reset.
    again = 1 if fault == "connection" else 0
    assert answer.failure == kind
    assert asked <= server.asked("AAPL") <= asked + again
    assert "AAPL" in answer.detail
    assert answer.bars.is_empty()
    assert answer.actions.is_empty()
    assert asking.requests <= len(server.seen) <= asking.requests + again
    assert asking.requests <= asked + 6
    # Nothing of it clings to the next symbol, or to the same one later.
    assert asking.history("MSFT", WEEK[0]).failure is None
    server.recover()
    assert asking.history("AAPL", WEEK[0]).bars.height == 5


@pytest.mark.parametrize("fault", sorted(f for f, (_, asked) in FAULTS.items() if asked == TRIES))
def test_a_failure_that_passes_costs_one_more_try(server, client, fault):
    server.fail("AAPL", fault, times=1, seconds=5)
    asking = client(timeout=0.4 if fault == "timeout" else 10)
    assert asking.history("AAPL", WEEK[0]).failure is None
    assert server.asked("AAPL") in ({2, 3} if fault == "connection" else {2})


def test_a_wait_that_yahoo_asks_for_reaches_the_gate(server, tmp_path):
    waits = []
    gate = Gate("Yahoo", per_minute=1_000_000, backoff=0.0, sleep=waits.append)
    server.fail("AAPL", "rate_limited", times=1, retry_after="7")
    with YahooClient(settings_in(tmp_path, yahoo_url=server.url), gate=gate) as asking:
        assert asking.history("AAPL", WEEK[0]).failure is None
    assert waits == [7.0]


def test_too_many_refusals_and_the_rest_is_not_asked_at_all(server, client):
    server.fail("*", "rate_limited")
    asking = client(tries=2, trip_after=4)
    answers = [asking.history(f"S{n}", WEEK[0]) for n in range(50)]
    assert {answer.failure for answer in answers} == {"rate_limited"}
    assert server.counts()["chart"] == 4
    assert "not asked again" in answers[-1].detail


def test_an_expired_crumb_is_renewed_within_the_try(server, client):
    asking = client(tries=1)
    assert asking.history("AAPL", WEEK[0]).failure is None
    server.expire_crumbs()
    assert asking.history("AAPL", WEEK[0]).failure is None
    assert server.asked("AAPL") == 3
    assert asking.history("AAPL", WEEK[0]).failure is None
    assert server.asked("AAPL") == 4


@pytest.mark.parametrize("endpoint", ["cookie", "getcrumb"])
@pytest.mark.parametrize("fault", ["rate_limited", "unauthorized", "server_error", "connection"])
def test_without_cookie_or_crumb_charts_are_still_asked_for(server, client, endpoint, fault):
    symbols = [f"S{n}" for n in range(30)]
    for symbol in symbols:
        server.listings[symbol] = week(symbol)
    server.fail(endpoint, fault)
    asking = client()
    assert {asking.history(symbol, WEEK[0]).failure for symbol in symbols} == {None}
    assert server.counts()["chart"] == 30
    assert asking.requests <= 30 + SIDE_REQUESTS


def test_a_page_of_another_server_does_not_say_that_a_symbol_is_gone(server, client):
    body = b"<html><h1>404 Not Found</h1><hr>nginx</html>"
    with ReplayClient(client()._settings, [Response("AAPL", START, "", 404, NOW, body)]) as asking:
        assert asking.history("AAPL", START).failure == "consent_page"
    with ReplayClient(client()._settings, [Response("AAPL", START, "", 404, NOW, b"no")]) as asking:
        assert asking.history("AAPL", START).failure == "malformed"


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda r: r["indicators"]["quote"][0]["close"].pop(), "different lengths"),
        (lambda r: r["indicators"]["quote"][0].pop("volume"), "volume"),
        (lambda r: r["indicators"]["quote"][0]["open"].__setitem__(0, "12"), "12|str"),
        (lambda r: r["meta"].update(symbol="MSFT"), "sent MSFT when asked for AAPL"),
        (lambda r: r["meta"].update(exchangeTimezoneName="Mars/Base"), "Mars/Base"),
        (lambda r: r["meta"].pop("exchangeTimezoneName"), "exchangeTimezoneName"),
    ],
)
def test_a_chart_that_is_not_whole_is_malformed(tmp_path, edit, why):
    document = json.loads((RECORDED / BODIES["AAPL"]).read_bytes())
    edit(document["chart"]["result"][0])
    response = Response("AAPL", START, "", 200, NOW, json.dumps(document).encode())
    with ReplayClient(settings_in(tmp_path), [response]) as client:
        answer = client.history("AAPL", START)
    assert answer.failure == "malformed"
    assert any(part in answer.detail for part in why.split("|"))


def test_a_wrong_clock_is_in_the_answer(server, client):
    server.date_offset = timedelta(minutes=20)
    asking = client()
    skews = [asking.history("AAPL", WEEK[0]).skew for _ in range(2)]
    assert all(-1201 < skew < -1195 for skew in skews)
    server.date_offset = timedelta()
    assert abs(client().history("AAPL", WEEK[0]).skew) < 5


# --- what is kept --------------------------------------------------------------------------------


def test_a_killed_load_resumes_without_asking_again(server, client, tmp_path):
    journal = Journal(tmp_path / "responses" / "yahoo")
    server.listings["MSFT"] = week("MSFT")
    server.fail("MSFT", "server_error")
    first = client(journal=journal)
    answer = first.history("AAPL", WEEK[0])
    assert first.history("MSFT", WEEK[0]).failure == "server_error"
    server.recover()
    server.seen.clear()

    second = client(journal=journal)
    again = second.history("AAPL", WEEK[0])
    assert (again.fetched_at, again.payload_digest) == (answer.fetched_at, answer.payload_digest)
    assert again.bars.equals(answer.bars)
    assert second.history("AAPL", WEEK[2]).bars.height == 3
    assert server.seen == []
    assert second.history("MSFT", WEEK[0]).failure is None  # a failure is no answer to keep to
    assert second.history("AAPL", WEEK[0] - timedelta(days=1)).failure is None  # reaches further
    assert (server.asked("MSFT"), server.asked("AAPL")) == (1, 1)


def test_packed_answers_replay_to_the_same_without_a_network(server, client, tmp_path):
    journal = Journal(tmp_path / "responses" / "yahoo")
    listing = week(splits=[Split(WEEK[3], 3, 2)], cash=[Cash(WEEK[2], 0.5)])
    server.listings["AAPL"] = listing
    asking = client(journal=journal, tries=1, timeout=0.4)
    live = {}
    for fault in ["", *sorted(FAULTS)]:
        symbol = fault.upper() or "AAPL"
        if fault:
            server.fail(symbol, fault, seconds=5)
            server.listings[symbol] = week(symbol)
        live[symbol] = asking.history(symbol, WEEK[0])
    store = LocalStore(str(tmp_path / "lake"))
    journal.pack(
        store,
        "yahoo",
        live,
        known_at=NOW,
        first=WEEK[0],
        last=WEEK[4],
        universe="instruments: []",
        refetch=10,
    )
    journal.clear()
    (key,) = packed_keys(store, "yahoo")
    packed = read_packed(store, key)
    assert all("crumb" not in response.url for response in packed.responses)
    assert packed.responses[0].url.startswith("https://query2.finance.yahoo.com/v8/finance/chart/")
    with ReplayClient(settings_in(tmp_path), packed.responses) as replay:
        for symbol, answer in live.items():
            again = replay.history(symbol, WEEK[0])
            assert again.bars.equals(answer.bars)
            assert again.actions.equals(answer.actions)
            for name in ("failure", "detail", "fetched_at", "payload_digest", "currency", "skew"):
                assert getattr(again, name) == getattr(answer, name), (symbol, name)


# --- what Yahoo says of a market -----------------------------------------------------------------


def closes(answer) -> list[float | None]:
    return answer.bars["close"].to_list()


def test_prices_are_in_the_shares_of_the_latest_split_known_to_yahoo(server, client):
    asking = client()
    split = Split(WEEK[3], 4)
    server.listings["AAPL"] = week(splits=[split], cash=[Cash(WEEK[1], 2.0)])
    server.now = moment("2024-05-22T22:00")
    before = asking.history("AAPL", WEEK[0])
    assert closes(before) == [100.0, 101.0, 102.0]
    assert before.actions.rows() == [(WEEK[1], "dividend", 2.0, None)]
    server.now = NOW
    after = asking.history("AAPL", WEEK[0])
    assert closes(after) == [25.0, 25.25, 25.5, 103.0, 104.0]
    assert after.bars["volume"].to_list() == [4000.0, 4000.0, 4000.0, 1000.0, 1000.0]
    assert after.actions.rows() == [
        (WEEK[1], "dividend", 0.5, None),
        (WEEK[3], "split", 4.0, None),
    ]


def test_a_split_may_be_applied_late_or_early(server, client):
    asking = client()
    late = Split(WEEK[3], 4, applied_on=date(2024, 6, 3))
    server.listings["AAPL"] = week(splits=[late])
    answer = asking.history("AAPL", WEEK[0])
    assert closes(answer)[:4] == [100.0, 101.0, 102.0, 103.0]
    assert answer.actions["action"].to_list() == ["split"]
    early = Split(WEEK[4], 4, applied_on=WEEK[2])
    server.listings["AAPL"] = week(splits=[early])
    server.now = moment("2024-05-22T22:00")
    answer = asking.history("AAPL", WEEK[0])
    assert closes(answer) == [25.0, 25.25, 25.5]
    assert answer.actions.is_empty()


def test_the_live_price_of_an_open_session_is_a_row_of_its_own(server, client):
    now = moment("2024-05-24T15:00")
    live = (int(now.timestamp()), 104.0, 105.0, 103.0, 104.5, 600.0)
    listing = server.listings["AAPL"] = week(live=live)
    server.now = now
    asking = client()
    answer = asking.history("AAPL", WEEK[3])
    assert answer.bars["session"].to_list() == [WEEK[3], WEEK[4], WEEK[4]]
    assert answer.bars["stamp"][-1] == live[0]
    assert closes(answer)[-1] == 104.5
    listing.missing.add(WEEK[4])  # or the only row of the day
    server.changed()
    assert asking.history("AAPL", WEEK[3]).bars["session"].to_list() == [WEEK[3], WEEK[4]]


def test_duplicates_holes_and_unknown_values_come_as_sent(server, client):
    opened = int(moment("2024-05-21T13:30").timestamp())
    bars = week().bars.with_columns(
        pl.when(pl.col("session") == WEEK[3])
        .then(None)
        .otherwise(pl.col("open", "high", "low", "close", "volume"))
        .name.keep()
    )
    server.listings["AAPL"] = Listing(
        "AAPL", bars, missing={WEEK[2]}, extra=[(opened, 1.0, 2.0, 0.5, None, None)]
    )
    answer = client().history("AAPL", WEEK[0])
    days = [WEEK[0], WEEK[1], WEEK[1], WEEK[3], WEEK[4]]
    assert answer.bars["session"].to_list() == days
    assert closes(answer) == [100.0, 101.0, None, None, 104.0]
    assert answer.bars["volume"].to_list() == [1000.0, 1000.0, None, None, 1000.0]


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("Pacific/Auckland", day_time(10)),
        ("Asia/Tokyo", day_time(9)),
        ("Europe/London", day_time(0)),
        ("Pacific/Honolulu", day_time(9, 30)),
    ],
)
def test_the_first_session_asked_for_comes_wherever_the_exchange_is(server, client, zone, opens):
    server.listings["X"] = week("X", time_zone=zone, opens=opens)
    assert client().history("X", WEEK[0]).bars["session"].to_list() == WEEK


def test_capital_gains_and_foreign_dividends(server, client):
    server.listings["FUND"] = week(
        "FUND",
        instrument_type="ETF",
        cash=[Cash(WEEK[1], 1.5, "capitalGains"), Cash(WEEK[2], 0.3, currency="EUR")],
    )
    assert client().history("FUND", WEEK[0]).actions.rows() == [
        (WEEK[1], "capital_gain", 1.5, None),
        (WEEK[2], "dividend", 0.3, "EUR"),
    ]


def test_the_server_sends_what_yahoo_sends(server, client):
    """The fields that a recorded body has."""
    asking = client()
    answer = asking.history("AAPL", WEEK[0])
    assert answer.fetched_at.tzinfo is UTC
    assert datetime.now(UTC) - answer.fetched_at < timedelta(minutes=1)
    real = json.loads((RECORDED / BODIES["AMZN"]).read_bytes())["chart"]["result"][0]
    made = json.loads(next(iter(server._encoded.values())))["chart"]["result"][0]
    assert set(made) == set(real)
    assert set(made["indicators"]["quote"][0]) == set(real["indicators"]["quote"][0])
    optional = {"longName", "shortName", "fiftyTwoWeekHigh", "fiftyTwoWeekLow"}
    optional |= {"regularMarketDayHigh", "regularMarketDayLow", "regularMarketVolume"}
    assert set(real["meta"]) - set(made["meta"]) == optional
