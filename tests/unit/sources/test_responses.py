"""The journal of a load and the object that keeps its answers."""

from datetime import UTC, date, datetime, timedelta

import pytest

from stock_platform.lake.store import LocalStore
from stock_platform.sources.base import SourceError
from stock_platform.sources.fetching import FetchError
from stock_platform.sources.packed import packed_keys, read_packed
from stock_platform.sources.responses import Journal, Response, no_answer, unanswered

NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)
FIRST = date(2020, 1, 1)


def response(request: str = "AAPL", body: bytes = b'{"chart": 1}\n', **more) -> Response:
    return Response(
        **{
            "request": request,
            "first": FIRST,
            "url": f"https://query2.finance.yahoo.com/v8/finance/chart/{request}",
            "status": 200,
            "fetched_at": NOON,
            "body": body,
            "server_date": NOON - timedelta(seconds=1),
            **more,
        }
    )


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "responses" / "yahoo")


@pytest.mark.parametrize(
    "request_key", ["AAPL", "EURUSD=X", "^GSPC", "xml_metall.asp?a=01/03/2026"]
)
def test_what_is_kept_comes_back_byte_for_byte(journal, request_key):
    bodies = [b"", b"\x00\xff\n\r\n", b"\xd4\xee\xf0", b"x" * 100_000]
    responses = [response(request_key, body, server_date=None) for body in bodies]
    journal.keep(request_key, responses)
    assert journal.kept(request_key, FIRST, NOON) == responses


def test_only_answers_that_reach_back_and_are_recent_are_kept(journal):
    journal.keep("AAPL", [response()])
    assert journal.kept("AAPL", FIRST + timedelta(days=1), NOON + timedelta(hours=6))
    assert journal.kept("AAPL", FIRST - timedelta(days=1), NOON) is None
    assert journal.kept("AAPL", FIRST, NOON + timedelta(hours=6, seconds=1)) is None
    assert journal.kept("AAPL", FIRST, NOON - timedelta(hours=1)) is None  # from the future
    assert journal.kept("MSFT", FIRST, NOON) is None


def test_answers_of_another_host_are_not_resumed_from(tmp_path):
    """STOCK_PLATFORM_YAHOO_URL was changed after a load was killed."""
    folder = tmp_path / "responses" / "yahoo"
    Journal(folder, "http://mirror").keep("AAPL", [response()])
    assert Journal(folder, "http://mirror").kept("AAPL", FIRST, NOON)
    for other in (Journal(folder), Journal(folder, "http://other")):
        assert other.kept("AAPL", FIRST, NOON) is None
    Journal(folder).keep("AAPL", [response()])
    assert Journal(folder).kept("AAPL", FIRST, NOON)
    assert Journal(folder, "http://mirror").kept("AAPL", FIRST, NOON) is None


def test_a_later_answer_takes_the_place_of_an_earlier_one(journal):
    journal.keep("AAPL", [response(body=b"old"), response(body=b"older")])
    journal.keep("AAPL", [response(body=b"new")])
    assert [one.body for one in journal.read("AAPL")] == [b"new"]


def test_a_damaged_file_is_told_of_and_asked_for_again(journal, tmp_path, caplog):
    journal.keep("AAPL", [response()])
    (path,) = (tmp_path / "responses" / "yahoo").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert journal.kept("AAPL", FIRST, NOON) is None
    assert str(path) in caplog.text


def test_clear_forgets_the_answers_and_nothing_else(journal, tmp_path):
    journal.clear()
    journal.keep("AAPL", [response()])
    other = tmp_path / "responses" / "yahoo" / "notes.txt"
    other.write_text("mine")
    journal.clear()
    assert journal.kept("AAPL", FIRST, NOON) is None
    assert list(other.parent.iterdir()) == [other]


def test_that_no_answer_came_is_kept_too():
    error = FetchError("timeout", "no answer of Yahoo's for AAPL: 30 s: too slow")
    kept = unanswered("AAPL", FIRST, error)
    found = no_answer(kept)
    assert (kept.status, found.kind, str(found)) == (0, "timeout", str(error))
    assert no_answer(response()) is None
    with pytest.raises(SourceError, match="AAPL"):
        no_answer(response(status=0, body=b"nonsense"))


def pack(journal: Journal, store: LocalStore, requests, **more) -> str:
    about = {"known_at": NOON, "first": FIRST, "last": date(2024, 5, 31), "universe": "a: 1\n"}
    return journal.pack(store, "yahoo", requests, **{**about, "refetch": 10, **more})


def test_packed_answers_are_an_object_of_the_lake(journal, tmp_path):
    store = LocalStore(str(tmp_path / "lake"))
    assert packed_keys(store, "yahoo") == []
    wanted = [
        response("MSFT", b"<html>", status=503, server_date=None),
        response("AAPL", b"\xff" * 1000),
        unanswered("IBM", FIRST, FetchError("timeout", "slow")),
    ]
    for one in [*wanted, response("LEFTOVER")]:
        journal.keep(one.request, [one])
    key = pack(journal, store, ["MSFT", "AAPL", "IBM"])
    assert key == "responses/yahoo/2024/06/01/20240601T120000000000Z.parquet"
    packed = read_packed(store, key)
    assert packed.responses == wanted
    assert (packed.source, packed.known_at, packed.universe) == ("yahoo", NOON, "a: 1\n")
    assert (packed.first, packed.last) == (FIRST, date(2024, 5, 31))
    assert packed.versions["yfinance"]

    later = pack(journal, store, ["AAPL"], known_at=NOON + timedelta(days=1))
    assert packed_keys(store, "yahoo") == [key, later]


def test_a_packed_object_is_never_written_over(journal, tmp_path):
    store = LocalStore(str(tmp_path / "lake"))
    journal.keep("AAPL", [response(body=b"first")])
    key = pack(journal, store, ["AAPL"])
    journal.keep("AAPL", [response(body=b"second")])
    assert pack(journal, store, ["AAPL"]) == key
    assert read_packed(store, key).responses[0].body == b"first"


def test_a_missing_answer_or_a_strange_object_is_named(journal, tmp_path):
    store = LocalStore(str(tmp_path / "lake"))
    with pytest.raises(SourceError, match="answer for AAPL is gone"):
        pack(journal, store, ["AAPL"])
    store.put_new([("responses/yahoo/2024/06/01/x.parquet", b"PAR1")])
    with pytest.raises(SourceError, match=r"x\.parquet can't be read"):
        read_packed(store, "responses/yahoo/2024/06/01/x.parquet")


def test_a_packed_body_takes_no_more_than_its_compressed_bytes(journal, tmp_path):
    """Parquet's statistics would hold each of them twice more, uncompressed."""
    store = LocalStore(str(tmp_path / "lake"))
    journal.keep("AAPL", [response(body=bytes(1_000_000))])
    assert len(store.get(pack(journal, store, ["AAPL"]))) < 10_000


def test_loads_that_packed_and_did_not_end_are_told(journal, tmp_path):
    store = LocalStore(str(tmp_path / "lake"))
    journal.keep("AAPL", [response()])
    moments = [NOON + timedelta(hours=n) for n in range(4)]
    keys = [pack(journal, store, ["AAPL"], known_at=moment) for moment in moments[:2]]
    journal.forget()
    assert journal.read("AAPL") == []
    assert journal.interrupted() == moments[:2]
    journal.keep("AAPL", [response()])
    keys.append(pack(journal, store, ["AAPL"], known_at=moments[2]))
    journal.clear()
    journal.keep("AAPL", [response()])
    keys.append(pack(journal, store, ["AAPL"], known_at=moments[3]))
    told = [list(read_packed(store, key).interrupted) for key in keys]
    assert told == [[], moments[:1], moments[:2], []]
