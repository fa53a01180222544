"""ClickHouse's HTTP protocol byte by byte: headers, codes, encodings, malformed requests."""

import gzip
import json
import socket
import zlib

import lz4.frame
import pytest
import requests
import zstandard


def test_health_needs_no_password(server):
    for path in ("/ping", "/", "/replicas_status"):
        answer = server.request(user=None, method="GET", path=path)
        assert (answer.status_code, answer.text) == (200, "Ok.\n")
        assert server.request(user=None, method="HEAD", path=path).status_code == 200
    answer = server.request(user=None, method="GET", path="/nothing")
    assert answer.status_code == 404
    assert "There is no handle /nothing" in answer.text


def test_headers_of_an_answer(server):
    answer = server.request("SELECT number FROM numbers(10) FORMAT JSONEachRow", query_id="q-1")
    assert answer.headers["X-ClickHouse-Query-Id"] == "q-1"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert answer.headers["Content-Type"] == "application/x-ndjson; charset=UTF-8"
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert summary["read_rows"] == summary["result_rows"] == "10"
    assert all(isinstance(value, str) for value in summary.values())
    assert len(server.request("SELECT 1").headers["X-ClickHouse-Query-Id"]) == 36


def test_summary_counts_written_rows(server, database):
    assert server.request(f"CREATE TABLE {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a").ok
    for sql in (
        f"INSERT INTO {database}.t VALUES (1), (2)",
        f"INSERT INTO {database}.t SELECT number FROM numbers(2)",
        f"INSERT INTO {database}.t FORMAT TSV\n1\n2\n",
    ):
        answer = server.request(sql)
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
        assert "X-ClickHouse-Format" not in answer.headers
        assert answer.text == ""


@pytest.mark.parametrize(
    ("parameters", "body", "expected"),
    [
        ({}, "SELECT 1", "1\n"),
        ({"query": "SELECT 1"}, None, "1\n"),
        ({"query": "SELECT"}, "1, 2", "1\t2\n"),
        ({"default_format": "JSONCompactEachRow"}, "SELECT 1, 'x'", '[1, "x"]\n'),
        ({"default_format": "CSV"}, "SELECT 'x' FORMAT TSV", "x\n"),
        ({"database": "system"}, "SELECT name FROM tables WHERE name = 'one'", "one\n"),
        ({"max_threads": "3"}, "SELECT getSetting('max_threads')", "3\n"),
        ({"param_a": "x\\ty"}, "SELECT length({a:String})", "3\n"),
        ({"param_n": "\\N"}, "SELECT {n:Nullable(Int8)} IS NULL", "1\n"),
        ({"wait_end_of_query": "1"}, "SELECT count() FROM numbers(100000)", "100000\n"),
        ({}, "SELECT 1;", "1\n"),
        ({}, "SELECT ';' -- ; SELECT 2\n ; /* ; */ ;", ";\n"),
        ({}, "SELECT 1 FORMAT TSV SETTINGS max_threads = 1;", "1\n"),
        ({}, "SELECT $x$;$x$ AS a", ";\n"),
        ({}, "(SELECT 1) UNION ALL (SELECT 1)", "1\n1\n"),
        ({}, "SELECT 1 AS format FORMAT CSV", "1\n"),
        ({}, "SELECT format FROM (SELECT 7 AS format)", "7\n"),
        ({}, "SELECT 1 SETTINGS max_threads = 1", "1\n"),
        ({}, "EXISTS TABLE system.one", "1\n"),
        ({}, "SELECT 1 FORMAT Null", ""),
    ],
)
def test_queries(server, parameters, body, expected):
    answer = server.request(body, **parameters)
    assert (answer.status_code, answer.text) == (200, expected)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE x;",
        "SELECT 1;; SELECT 2",
        "SELECT '\\';'; SELECT 2",
        "SELECT 1 -- x\n; SELECT 2",
        "SELECT 1 /* ; */; SELECT 2",
        "SELECT `a;b`; SELECT 2",
        "INSERT INTO t VALUES (1); SELECT 2",
        "INSERT INTO t SELECT 1; SELECT 2",
        "SELECT 1; garbage (",
        "SELECT $a$ x $a$; SELECT 2",
        "SET max_threads = 1; SELECT 2",
    ],
)
def test_more_than_one_statement_is_refused_and_none_runs(server, database, text):
    assert server.request(f"CREATE TABLE {database}.t (a UInt8) ENGINE = MergeTree ORDER BY a").ok
    answer = server.request(text, database=database)
    assert answer.status_code == 400
    assert answer.headers["X-ClickHouse-Exception-Code"] == "62"
    assert "Multi-statements are not allowed" in answer.text
    assert server.request(f"SELECT count() FROM {database}.t").text == "0\n"


def test_get_only_reads(server, database):
    ask = {"method": "GET", "database": database}
    assert server.request(query="SELECT 1", **ask).text == "1\n"
    for sql in (
        "CREATE TABLE g (a UInt8) ENGINE = Memory",
        "INSERT INTO g VALUES (1)",
        "SET a = 1",
    ):
        answer = server.request(query=sql, **ask)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164", sql
    for readonly in ("1", "2"):
        answer = server.request("DROP DATABASE nothing", readonly=readonly)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
        assert server.request("SELECT 1", readonly=readonly).ok


CODECS = {
    "gzip": (gzip.compress, gzip.decompress),
    "deflate": (zlib.compress, zlib.decompress),
    "zstd": (
        zstandard.compress,
        lambda b: zstandard.ZstdDecompressor().decompressobj().decompress(b),
    ),
    "lz4": (lz4.frame.compress, lz4.frame.decompress),
}


@pytest.mark.parametrize("codec", CODECS)
def test_encodings(server, codec):
    encode, decode = CODECS[codec]
    for rows in (0, 3, 500_000):
        sql = f"SELECT number FROM numbers({rows})"
        plain = server.request(sql).content
        with requests.post(
            server.url,
            params={"enable_http_compression": 1},
            data=encode(sql.encode()),
            headers={"Accept-Encoding": codec, "Content-Encoding": codec},
            auth=("default", server.passwords["default"]),
            stream=True,
            timeout=30,
        ) as answer:
            assert answer.headers["Content-Encoding"] == codec
            assert decode(answer.raw.read(decode_content=False)) == plain


def test_encoding_is_only_used_when_asked_for(server):
    answer = server.request("SELECT 1", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
    answer = server.request(
        "SELECT 1", headers={"Accept-Encoding": "identity, gzip;q=0"}, enable_http_compression=1
    )
    assert "Content-Encoding" not in answer.headers


def test_several_compressed_members_are_one_body(server):
    body = gzip.compress(b"SELECT ") + gzip.compress(b"42")
    assert server.request(body, headers={"Content-Encoding": "gzip"}).text == "42\n"
    body = lz4.frame.compress(b"SELECT ") + lz4.frame.compress(b"42")
    assert server.request(body, headers={"Content-Encoding": "lz4"}).text == "42\n"


def test_exception_in_mid_stream_cuts_the_connection(server):
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"
    with requests.post(
        server.url,
        params={"max_block_size": 8192},
        data=sql,
        auth=("default", server.passwords["default"]),
        stream=True,
        timeout=30,
    ) as answer:
        assert answer.status_code == 200
        tag = answer.headers["X-ClickHouse-Exception-Tag"]
        received = b""
        with pytest.raises(requests.exceptions.ChunkedEncodingError):  # noqa: PT012
            for piece in answer.iter_content(1 << 20):
                received = received[-5000:] + piece
    assert f"__exception__\r\n{tag}\r\nCode: 395.".encode() in received
    assert received.endswith(f"{tag}\r\n__exception__\r\n".encode())


def test_wait_end_of_query_gives_a_late_error_its_status(server):
    sql = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"
    answer = server.request(sql, wait_end_of_query=1)
    assert answer.status_code == 500
    assert answer.headers["X-ClickHouse-Exception-Code"] == "395"
    assert len(answer.content) < 2000


def test_sessions(server):
    assert server.request("CREATE TEMPORARY TABLE s (a UInt8)", session_id="s1").ok
    assert server.request("SELECT count() FROM s", session_id="s1").text == "0\n"
    answer = server.request("SELECT 1", session_id="s2", session_check=1)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "372")
    assert server.request("SELECT 1", session_id="s1", session_check=1).ok
    for timeout in ("x", "-1", "3601", "1e3"):
        answer = server.request("SELECT 1", session_id="s1", session_timeout=timeout)
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (400, "374")
    assert server.request("SELECT 1", session_id="s1", close_session=1).ok
    answer = server.request("SELECT 1", session_id="s1", session_check=1)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "372"
    assert server.request("SELECT 1", session_id="s3", session_timeout=0).ok
    answer = server.request("SELECT 1", session_id="s3", session_check=1)
    assert answer.headers["X-ClickHouse-Exception-Code"] == "372"


def test_a_session_serves_one_request_at_a_time(server):
    import threading

    first = threading.Thread(
        target=server.request, args=("SELECT sleep(1.5)",), kwargs={"session_id": "locked"}
    )
    first.start()
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%sleep(1.5)%'"
    while server.request(sql).text != "2\n":
        pass
    answer = server.request("SELECT 1", session_id="locked")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "373"
    first.join(30)
    assert server.request("SELECT 1", session_id="locked").text == "1\n"


@pytest.mark.parametrize(
    ("parameters", "body", "headers", "status", "code"),
    [
        ({}, "", {}, 400, 62),
        ({}, "  -- nothing\n ;", {}, 400, 62),
        ({}, b"\xff\xfe\x00", {}, 400, 62),
        ({"database": "nothing"}, "SELECT 1", {}, 404, 81),
        ({"no_such_setting": "1"}, "SELECT 1", {}, 404, 115),
        ({"bad-name!": "1"}, "SELECT 1", {}, 404, 115),
        ({"max_threads": "x"}, "SELECT 1", {}, 400, None),
        ({"compress": "1"}, "SELECT 1", {}, 501, 48),
        ({"decompress": "1"}, b"\x00", {}, 501, 48),
        ({"wait_end_of_query": "perhaps"}, "SELECT 1", {}, 400, 36),
        ({"default_format": "Nope"}, "SELECT 1", {}, 404, 73),
        ({}, "SELECT {a:UInt8}", {}, 400, 456),
        ({"param_a": "x"}, "SELECT {a:UInt8}", {}, 400, 457),
        ({}, "SELECT 1", {"Content-Encoding": "zip"}, 501, 48),
        ({}, "SELECT 1", {"Content-Encoding": "gzip"}, 400, 271),
        ({}, gzip.compress(b"SELECT 1" * 9, mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400, 271),
        ({}, "SELECT 1", {"Content-Encoding": "lz4"}, 400, 271),
        ({}, "x", {"Content-Type": "multipart/form-data"}, 400, 36),
        ({}, "x", {"Content-Type": "multipart/form-data; boundary=b"}, 400, None),
        ({}, "SELECT 1 INTO OUTFILE 'x'", {}, 400, 80),
        ({}, "INSERT INTO t FROM INFILE 'x' FORMAT CSV", {}, 400, 80),
        ({}, "SELECT 'open", {}, 400, 62),
        ({}, "SELECT (1", {}, 400, 62),
    ],
)
def test_bad_requests_are_the_clients_fault(server, parameters, body, headers, status, code):
    answer = server.request(body, headers=headers, **parameters)
    assert answer.status_code == status, answer.text
    assert answer.text.startswith("Code: ")
    assert "/proc/self" not in answer.text
    if code is not None:
        assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)


@pytest.mark.parametrize(
    "header",
    ["Basic !!!", "Basic", "Basic eA==", "Bearer x", "Digest username=x", "Basic " + "QQ" * 4000],
)
def test_bad_authorization(server, header):
    answer = server.request("SELECT 1", user=None, headers={"Authorization": header})
    assert answer.status_code == 403
    assert answer.headers["X-ClickHouse-Exception-Code"] == "516"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /?query=%FF%00%zz&&=&a=%& HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00" * 100,
    ],
)
def test_odd_http_breaks_nothing(server, raw):
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
    assert not answer or answer.split(b" ")[1][:1] in (b"2", b"4")
    assert server.request("SELECT 'alive'").text == "alive\n"


def test_native_header_of_an_empty_result(server):
    answer = server.request("SELECT toUInt8(1) AS a, 'x' AS b WHERE 0 FORMAT Native")
    assert answer.content == b"\x02\x00\x01a\x05UInt8\x01b\x06String"
    answer = server.request("SHOW TABLES FROM default LIKE 'nothing' FORMAT Native")
    assert answer.content == b"\x01\x00\x04name\x06String"


def test_caller_query_id_can_be_killed(server):
    import threading

    answers = []
    asked = threading.Thread(
        target=lambda: answers.append(
            server.request("SELECT max(cityHash64(number)) FROM numbers(1e12)", query_id="kill-me")
        )
    )
    asked.start()
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%cityHash64%'"
    while server.request(sql).text != "2\n":
        pass
    assert server.request("KILL QUERY WHERE query_id = 'other-query' SYNC").ok
    assert asked.is_alive()
    assert server.request("KILL QUERY WHERE query_id = 'kill-me' SYNC").ok
    asked.join(30)
    assert answers[0].headers["X-ClickHouse-Exception-Code"] == "394"
