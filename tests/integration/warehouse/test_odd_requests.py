"""Requests that are well formed but unusual: odd bytes, one id twice, settings in a session."""

import threading

import pytest
import requests


def test_a_session_keeps_the_memory_bound(server):
    """Also after a request that set another for itself."""
    sql = "SELECT getSetting('max_memory_usage')"
    assert server.request(sql, session_id="bound").text == f"{4 << 30}\n"
    assert server.request(sql, session_id="bound", max_memory_usage=5 << 30).text == f"{5 << 30}\n"
    assert server.request(sql, session_id="bound").text == f"{4 << 30}\n"


@pytest.mark.parametrize("query_id", ["a\r\nX-Evil: 1", "a\x00b", "é", "x" * 5000])
def test_any_query_id_is_answered(server, query_id):
    answer = server.request("SELECT 1", query_id=query_id)
    assert answer.text == "1\n"
    assert "X-Evil" not in answer.headers
    assert len(answer.headers["X-ClickHouse-Query-Id"]) == len(query_id)


def test_two_queries_of_one_id_do_not_run_at_once(server):
    first = threading.Thread(
        target=server.request, args=("SELECT sleep(1.5)",), kwargs={"query_id": "twin"}
    )
    first.start()
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1.5)%'"
    while server.request(sql).text != "2\n":
        pass
    answer = server.request("SELECT 1", query_id="twin")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "216"
    first.join(30)
    assert server.request("SELECT 1", query_id="twin").text == "1\n"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("user=%FF&password=x&query=SELECT+1", 403, "516"),
        ("query=SELECT+1&default_format=%FF", 404, "73"),
        ("query=SELECT+1&database=%FF", 404, "81"),
        ("query=SELECT+1&session_id=%FF&session_check=1", 404, "372"),
        ("query=SELECT+1&param_a=%FF", 400, "36"),
        ("query=SELECT+'%FF',nosuch", 404, "47"),
    ],
)
def test_text_that_is_not_utf_8(server, query, status, code):
    account = "" if "user=" in query else f"&user=default&password={server.passwords['default']}"
    answer = requests.get(f"{server.url}/?{query}{account}", timeout=10)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert answer.content.startswith(f"Code: {code}. ".encode())


def test_an_error_is_named_once(server, database):
    assert server.request(f"CREATE TABLE {database}.t (a UInt8) ENGINE = Memory").ok
    answer = server.request(b"\x00\xff\xff", query=f"INSERT INTO {database}.t FORMAT Native")
    assert answer.text.count("(version ") == 1
    assert "UNKNOWN_EXCEPTION" not in answer.text
