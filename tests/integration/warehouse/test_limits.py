"""What a client can't do to the server: hold its memory, outlive its connection, break it."""

import json
import socket
import threading
import time
import uuid

import pytest
from conftest import running

MEBI = 1 << 20


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def queries(server):
    """log_comment of every query that runs now, except this one."""
    text = server.request(
        "SELECT Settings['log_comment'] FROM system.processes WHERE query_id != queryID()"
    ).text
    return text.split()


def open_request(server, query, missing=0, user="default", **parameters):
    """Send a request, lacking its last bytes if so asked, and return the socket."""
    from base64 import b64encode
    from urllib.parse import urlencode

    key = b64encode(f"{user}:{server.passwords[user]}".encode()).decode()
    head = (
        f"POST /?{urlencode(parameters)} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n"
        f"Content-Length: {len(query) + missing}\r\n\r\n"
    )
    connection = socket.create_connection((server.host, server.port), timeout=30)
    connection.sendall(head.encode() + query.encode())
    return connection


@pytest.mark.parametrize(
    "query",
    [
        "SELECT max(cityHash64(number)) FROM numbers(1000000000000)",
        "SELECT * FROM numbers(1000000000000)",
        "SELECT sleepEachRow(1) FROM numbers(1000) SETTINGS max_block_size = 1",
        "INSERT INTO FUNCTION null('n UInt64') SELECT number FROM numbers(1000000000000)",
    ],
)
def test_a_client_that_goes_away_cancels_its_query_and_no_other(server, query):
    run = f"run-{uuid.uuid4().hex}"
    mine = open_request(server, query, log_comment=run)
    other = open_request(server, query, log_comment=run)
    wait_until(lambda: queries(server).count(run) == 2)
    mine.close()
    wait_until(lambda: queries(server).count(run) == 1)
    assert queries(server).count(run) == 1
    other.close()
    wait_until(lambda: run not in queries(server))


def test_a_client_that_goes_away_in_mid_insert_leaves_no_row(server, database):
    """What was not acknowledged and is smaller than one block is not there."""
    assert server.request(f"CREATE TABLE {database}.t (a UInt64) ENGINE = MergeTree ORDER BY a").ok
    run = f"run-{uuid.uuid4().hex}"
    connection = open_request(
        server, f"INSERT INTO {database}.t FORMAT TSV\n1\n2\n", missing=1000, log_comment=run
    )
    connection.close()
    wait_until(lambda: run not in queries(server))
    assert server.request(f"SELECT count() FROM {database}.t").text == "0\n"


def test_five_million_rows_stream_in_bounded_memory(tmp_path):
    """Over 200 MiB of result, which would show if the server held it.

    Parquet is left out: the engine itself collects row groups of a million rows.
    """
    with running(tmp_path / "w") as server:
        warm = "SELECT number, toString(number) FROM numbers(1000000) FORMAT Native"
        assert server.request(warm).ok
        before = server.resident_bytes()
        sql = "SELECT number, repeat('x', 30), toString(number) FROM numbers(5000000) FORMAT "
        for fmt in ("Native", "JSONCompact", "ArrowStream"):
            peak, received = before, 0
            import requests

            with requests.post(
                server.url,
                data=sql + fmt,
                auth=("default", server.passwords["default"]),
                stream=True,
                timeout=60,
            ) as answer:
                for piece in answer.iter_content(4 * MEBI):
                    received += len(piece)
                    peak = max(peak, server.resident_bytes())
            assert received > (50 if fmt == "ArrowStream" else 200) * MEBI  # Arrow compresses
            assert peak - before < 150 * MEBI, f"{fmt}: {(peak - before) // MEBI} MiB"


def test_a_stalled_reader_holds_its_query_back(server):
    run = f"run-{uuid.uuid4().hex}"
    before = server.resident_bytes()
    connection = open_request(
        server, "SELECT number, repeat('y', 100) FROM numbers(100000000)", log_comment=run
    )
    connection.recv(1000)
    wait_until(lambda: run in queries(server))
    time.sleep(1)
    assert server.resident_bytes() - before < 150 * MEBI
    assert run in queries(server)
    connection.close()
    wait_until(lambda: run not in queries(server))


def test_large_inserts_stream_in_bounded_memory(server, database):
    """900 MB go in; the engine collects blocks of up to 256 MiB."""
    import requests

    server.request(f"CREATE TABLE {database}.t (a UInt64, s String) ENGINE = Null")
    before = server.resident_bytes()
    peak = before
    block = b"".join(b"%d\t%s\n" % (n, b"z" * 90) for n in range(10_000))

    def pieces():
        nonlocal peak
        for _ in range(900):
            peak = max(peak, server.resident_bytes())
            yield block

    answer = requests.post(
        server.url,
        params={"query": f"INSERT INTO {database}.t FORMAT TSV"},
        data=pieces(),
        auth=("default", server.passwords["default"]),
        timeout=60,
    )
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "9000000"
    assert peak - before < 500 * MEBI


@pytest.mark.parametrize("user", ["default", "reader"])
def test_memory_of_a_query_is_bounded(tmp_path_factory, user, server):
    sql = "SELECT length(groupArray(toString(number))) FROM numbers(1000000000)"
    bounds = {"default": "64M", "reader": "32M"}
    with running(tmp_path_factory.mktemp("bound"), *small(bounds)) as bounded:
        answer = bounded.request(sql, user=user)
        assert answer.status_code == 500
        assert answer.headers["X-ClickHouse-Exception-Code"] == "241"
        assert "MEMORY_LIMIT_EXCEEDED" in answer.text
        assert bounded.request("SELECT 1", user=user).text == "1\n"
    assert server.request("SELECT getSetting('max_memory_usage')", user=user).text.strip() in (
        str(4 << 30),
        str(2 << 30),
    )


def small(bounds):
    return ["--query-memory", bounds["default"], "--reader-query-memory", bounds["reader"]]


def test_too_many_queries_are_refused_not_queued(server):
    connections = [
        open_request(server, "SELECT sleep(3)", log_comment=f"many-{n}") for n in range(100)
    ]
    try:
        wait_until(lambda: server.request("SELECT 1").status_code == 503)
        answer = server.request("SELECT 1")
        assert answer.headers["X-ClickHouse-Exception-Code"] == "202"
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: server.request("SELECT 1").ok)


def test_many_clients_that_go_away_at_once(server):
    sql = "SELECT number, repeat('x', 50) FROM numbers(100000000)"

    def visit(n):
        connection = open_request(server, sql, log_comment="visitor")
        if n % 2:
            connection.recv(100_000)
        connection.close()

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wait_until(lambda: "visitor" not in queries(server))
    # Their places are free a moment after their queries are gone.
    wait_until(lambda: server.request("SELECT 'alive'").text == "alive\n")
