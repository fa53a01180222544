"""Ways out of the read-only user that once worked: text that became SQL, names that were hidden."""

import pytest
import requests

READS = "arrayMap(file, ['/etc/hostname'])[1]"


@pytest.fixture(scope="module")
def kept(server):
    """A table that must survive."""
    name = "escape_tests"
    assert server.request(f"CREATE DATABASE {name}").ok
    assert server.request(f"CREATE TABLE {name}.t (a UInt8) ENGINE = MergeTree ORDER BY a").ok
    assert server.request(f"INSERT INTO {name}.t VALUES (1)").ok
    yield f"{name}.t"
    server.request(f"DROP DATABASE {name}").raise_for_status()


def external(server, structure, fmt="TSV", data=b"1\n", sql="SELECT * FROM e", user="reader"):
    return requests.post(
        server.url,
        params={"query": sql, "e_structure": structure, "e_format": fmt},
        files={"e": ("e", data)},
        auth=(user, server.passwords[user]),
        timeout=30,
    )


@pytest.mark.parametrize("user", ["default", "reader"])
@pytest.mark.parametrize("way", ["parameter", "header"])
def test_a_default_format_is_a_name_only(server, kept, tmp_path, user, way):
    leak = tmp_path / "leak"
    for rest in (
        " SETTINGS max_memory_usage = 0",
        f"; SELECT file('/etc/hostname') INTO OUTFILE '{leak}'",
        f"; DROP TABLE {kept}",
    ):
        given = "Null" + rest
        options = (
            {"default_format": given}
            if way == "parameter"
            else {"headers": {"X-ClickHouse-Format": given}}
        )
        answer = server.request("SELECT 1", user=user, **options)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "73", answer.text
    assert not leak.exists()
    assert server.request(f"SELECT count() FROM {kept}").text == "1\n"


@pytest.mark.parametrize(
    "structure",
    [
        "x String) ENGINE = Memory AS SELECT file('/etc/hostname') AS x --",
        "x String, y String ALIAS file('/etc/hostname')",
        "x String, y String DEFAULT file('/etc/hostname')",
        "x String MATERIALIZED file('/etc/hostname')",
        "x String); DROP TABLE escape_tests.t; SELECT (1",
        "x String) ENGINE = File(TSV, '/tmp/x') --",
        "x",
        "x String,",
        "",
        "(",
    ],
)
def test_structure_of_external_data_is_names_and_types_only(server, kept, structure):
    answer = external(server, structure)
    assert answer.status_code in (400, 404), answer.text
    assert server.request(f"SELECT count() FROM {kept}").text == "1\n"


def test_external_data_may_have_any_type(server):
    structure = (
        "a Nullable(Int8), `b c` LowCardinality(String), d Decimal(10, 2), "
        "e Enum8('x\\'' = 1, 'y,(' = 2), f Array(Tuple(u UInt8, v DateTime64(3, 'UTC')))"
    )
    row = b"\\N\tq\t1.5\ty,(\t[(1,'2024-01-02 03:04:05.678')]\n"
    answer = external(server, structure, data=row)
    assert answer.content == row, answer.text
    answer = external(server, structure, data=row, sql="SELECT toTypeName(`b c`) FROM e")
    assert answer.text == "LowCardinality(String)\n"


def test_format_of_external_data_is_a_name_only(server, kept):
    answer = external(server, "x String", fmt=f"TSV; DROP TABLE {kept}")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "73"
    assert server.request(f"SELECT count() FROM {kept}").text == "1\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT arrayMap((file AS `a\nb`), ['/etc/hostname'])",
        "SELECT arrayMap(({f:Identifier} AS `a\nb`), ['/etc/hostname'])",
        f"SHOW TABLES FROM escape_tests WHERE {READS} != ''",
        f"SHOW COLUMNS FROM escape_tests.t WHERE {READS} != ''",
        f"SHOW INDEX FROM escape_tests.t WHERE {READS} != ''",
        "SHOW TABLES WHERE 1 IN {s:Identifier}.processes",
        "USE {s:Identifier}",
    ],
)
def test_names_cannot_be_hidden(server, kept, sql):
    ask = {"user": "reader", "session_id": "hidden"}
    for text in ("SET param_f = 'file'", "SET param_s = 'system'"):
        assert not server.request(text, **ask).ok
    answer = server.request(sql, **ask)
    assert answer.headers.get("X-ClickHouse-Exception-Code") in ("497", "456", "62"), answer.text
    assert not server.request("SELECT query FROM processes", **ask).ok
