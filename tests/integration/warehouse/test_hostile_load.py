"""Small requests that would cost the server very much: bombs, endless texts, endless queries."""

import time
import zlib

import brotli
import lz4.frame
import pytest
import zstandard
from conftest import running
from test_limits import MEBI, open_request, queries, wait_until


def zstd_bomb():
    stream = zstandard.ZstdCompressor().compressobj()
    return b"".join(stream.compress(bytes(16 * MEBI)) for _ in range(64)) + stream.flush()


def gzip_bomb():
    stream = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(stream.compress(bytes(16 * MEBI)) for _ in range(16)) + stream.flush()


def brotli_bomb():
    stream = brotli.Compressor(quality=5)
    return b"".join(stream.process(bytes(16 * MEBI)) for _ in range(64)) + stream.finish()


BOMBS = {
    "zstd": zstd_bomb,
    "gzip": gzip_bomb,
    "br": brotli_bomb,
    "lz4": lambda: lz4.frame.compress(bytes(256 * MEBI)),
}


def peak_while(server, ask):
    """What `ask` returned, and by how much the server's memory grew meanwhile."""
    import threading

    before = server.resident_bytes()
    peaks, over = [before], threading.Event()

    def watch():
        while not over.wait(0.005):
            peaks.append(server.resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = ask()
    finally:
        over.set()
        watcher.join()
    return answer, max(peaks) - before


@pytest.mark.parametrize("encoding", BOMBS)
def test_a_compressed_bomb_is_never_in_memory_whole(tmp_path, encoding):
    bomb = BOMBS[encoding]()
    with running(tmp_path / "w") as server:
        headers = {"Content-Encoding": encoding}
        answer, grown = peak_while(
            server, lambda: server.request(bomb, user="reader", headers=headers)
        )
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (413, "223")
        assert grown < 150 * MEBI, f"{grown // MEBI} MiB"


def test_a_form_is_bounded(tmp_path):
    head = b'--b\r\nContent-Disposition: form-data; name="e"; filename="e"\r\n\r\n'
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = bomb.compress(head) + b"".join(bomb.compress(bytes(16 * MEBI)) for _ in range(40))
    body += bomb.flush()
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Content-Encoding": "gzip"}
    with running(tmp_path / "w") as server:
        answer, grown = peak_while(server, lambda: server.request(body, headers=headers))
        assert answer.headers["X-ClickHouse-Exception-Code"] == "223", answer.text
        assert grown < 150 * MEBI, f"{grown // MEBI} MiB"


def test_a_statement_has_a_longest_text(server):
    answer = server.request("SELECT 1" + ",1" * MEBI)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (413, "223")


def test_the_readers_query_ends_at_its_time_limit(tmp_path):
    with running(tmp_path / "w", "--reader-query-seconds", "1") as server:
        begun = time.monotonic()
        sql = "SELECT max(cityHash64(number)) FROM numbers(1e12)"
        answer = server.request(sql, user="reader", max_execution_time=0)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "159", answer.text
        with pytest.raises(OSError, match="ended prematurely"):
            server.request("SELECT number FROM numbers(1e12)", user="reader")
        assert time.monotonic() - begun < 10
        assert server.request("SELECT sleep(2)").text == "0\n"
        wait_until(lambda: queries(server) == [])


def test_the_reader_leaves_room_for_the_administrator(server):
    sql = "SELECT sleep(3)"
    connections = [
        open_request(server, sql, user="reader", log_comment=f"crowd-{n}") for n in range(90)
    ]
    try:
        wait_until(lambda: server.request("SELECT 1", user="reader").status_code == 503)
        assert server.request("SELECT 1").text == "1\n"
    finally:
        for connection in connections:
            connection.close()
    wait_until(lambda: server.request("SELECT 1", user="reader").ok)
