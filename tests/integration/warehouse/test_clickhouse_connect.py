"""The driver everything uses, against the local server as against a ClickHouse server."""

import datetime as dt
import decimal
import io
import threading
import uuid

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

UTC = dt.UTC


@pytest.fixture
def client(server, database):
    with server.client(database=database) as found:
        yield found


def test_version_timezone_and_settings(client):
    assert client.server_version.count(".") >= 3
    assert str(client.server_tz) == "UTC"
    assert len(client.server_settings) > 1000
    assert client.ping()
    assert client.command("SELECT timezone(), now() = now('UTC')") == ["UTC", "1"]


def test_every_type_survives_insert_and_query(client):
    columns = {
        "i8": ("Int8", -5),
        "u64": ("UInt64", 2**63 + 7),
        "i256": ("Int256", -(2**200)),
        "f": ("Float64", 1.5),
        "dec": ("Decimal(18, 4)", decimal.Decimal("12.3456")),
        "s": ("String", "ünï\t\n'\\;x"),
        "fs": ("FixedString(3)", b"abc"),
        "lc": ("LowCardinality(String)", "low"),
        "n": ("Nullable(Int32)", None),
        "d": ("Date", dt.date(2024, 2, 29)),
        "d32": ("Date32", dt.date(1950, 1, 1)),
        "t": ("DateTime('UTC')", dt.datetime(2024, 1, 1, 12, tzinfo=UTC)),
        "t6": ("DateTime64(6, 'UTC')", dt.datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        "a": ("Array(Nullable(String))", ["x", None]),
        "m": ("Map(String, UInt8)", {"k": 1}),
        "tu": ("Tuple(a Int8, b String)", {"a": 1, "b": "z"}),
        "e": ("Enum8('one' = 1, 'two' = 2)", "two"),
        "b": ("Bool", True),
        "id": ("UUID", uuid.UUID(int=42)),
        "ip": ("IPv4", "127.0.0.1"),
    }
    names = list(columns)
    kinds = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    client.command(f"CREATE TABLE every ({kinds}) ENGINE = MergeTree ORDER BY i8")
    row = [value for _, value in columns.values()]
    done = client.insert("every", [row, row], column_names=names)
    assert done.written_rows == 2
    assert done.summary["written_rows"] == "2"
    found = client.query("SELECT * FROM every", query_tz="UTC", tz_mode="aware")
    assert list(found.column_names) == names
    assert [str(kind.name) for kind in found.column_types][1] == "UInt64"
    for given, got in zip(row, found.result_rows[1], strict=True):
        assert str(got) == str(given) or got == given


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE 0",
        "SELECT a, lower(s) AS l, [a] AS arr FROM t WHERE a > 100 FORMAT Native",
        "WITH 5 AS x SELECT x, a FROM t WHERE a = x",
        "SELECT a FROM t LIMIT 0",
        "(SELECT a, s FROM t WHERE 0) UNION ALL (SELECT a, s FROM t WHERE 0)",
    ],
)
def test_empty_result_has_columns(client, sql):
    client.command("CREATE TABLE t (a UInt64, s LowCardinality(String)) ENGINE = Memory")
    found = client.query(sql.removesuffix(" FORMAT Native"))
    assert found.row_count == 0
    assert len(found.column_names) == len(found.column_types) >= 1


def test_empty_results_of_statements_that_are_no_select(client):
    client.command("CREATE TABLE shown (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert client.query("SHOW TABLES").result_rows == [("shown",)]
    none = client.query("SHOW TABLES LIKE 'none%'")
    assert (none.row_count, none.column_names) == (0, ("name",))
    assert client.database in client.command("SHOW DATABASES")
    assert client.query("EXISTS TABLE shown").result_rows == [(1,)]
    assert "CREATE TABLE" in client.command("SHOW CREATE TABLE shown")
    assert client.query("EXPLAIN SELECT 1").row_count > 0
    assert client.query("CHECK TABLE shown").row_count >= 0
    frame = client.query_df("SELECT toInt64(1) AS a, 'x' AS b WHERE 0")
    assert frame.empty
    assert client.query_arrow("SELECT toInt64(1) AS a WHERE 0").column_names == ["a"]


def test_binds_on_the_client_and_on_the_server(client):
    sql = "SELECT {a:String}, {b:Array(Int32)}, {c:DateTime}, {d:Nullable(Int8)}"
    when = dt.datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001
    given = {"a": "it's \\ a\ttab\n{b:Int8} ☃", "b": [1, -2], "c": when, "d": None}
    assert client.query(sql, parameters=given).result_rows == [(given["a"], [1, -2], when, None)]
    assert client.query("SELECT %(x)s, %(y)s", parameters={"x": "a'b", "y": 5}).result_rows == [
        ("a'b", 5)
    ]
    client.command("CREATE TABLE `odd name` (a UInt8) ENGINE = Memory")
    assert client.command("SELECT count() FROM {t:Identifier}", parameters={"t": "odd name"}) == 0
    done = client.command("INSERT INTO {t:Identifier} VALUES (1)", parameters={"t": "odd name"})
    assert done.written_rows == 1


def test_long_binds_travel_as_a_form(client):
    text = "é" * 50_000
    values = list(range(20_000))
    found = client.query(
        "SELECT length({t:String}), arraySum({v:Array(UInt32)})",
        parameters={"t": text, "v": values},
    )
    assert found.result_rows == [(100_000, sum(values))]


def test_binary_binds(client):
    assert client.query("SELECT hex($xx$) AS h", parameters={"$xx$": b"\x00\xff'\\"}).first_row == (
        "00FF275C",
    )


@pytest.mark.parametrize("codec", ["lz4", "zstd", "gzip", "br", True, False])
def test_every_compression_both_ways(server, database, codec):
    if codec == "br":
        pytest.importorskip("brotli")
    rows = [[n, f"row {n}" * 3] for n in range(20_000)]
    with server.client(database=database, compress=codec) as client:
        client.command("CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
        client.insert("t", rows, column_names=["a", "s"])
        assert client.query("SELECT * FROM t ORDER BY a").result_rows == [tuple(r) for r in rows]


@pytest.mark.parametrize("codec", [None, "lz4", "zstd", "gzip"])
@pytest.mark.parametrize("form", ["bytes", "file", "generator"])
def test_raw_insert(client, codec, form):
    client.command("CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    data = b"".join(b"%d,x;y\n" % n for n in range(50_000))
    if codec == "gzip":
        import gzip

        data = gzip.compress(data)
    elif codec == "zstd":
        import zstandard

        data = zstandard.compress(data)
    elif codec == "lz4":
        import lz4.frame

        data = lz4.frame.compress(data)
    pieces = [data[at : at + 10_000] for at in range(0, len(data), 10_000)]
    block = {"bytes": data, "file": io.BytesIO(data), "generator": iter(pieces)}[form]
    done = client.raw_insert("t", ["a", "s"], block, fmt="CSV", compression=codec)
    assert done.written_rows == 50_000
    assert client.command("SELECT sum(a) FROM t") == 50_000 * 49_999 // 2


def test_frames_of_pandas_arrow_and_polars(client):
    client.command(
        "CREATE TABLE t (a Int64, s Nullable(String), d Date, x Float64) "
        "ENGINE = MergeTree ORDER BY a"
    )
    day = dt.date(2024, 3, 1)
    frame = pd.DataFrame(
        {"a": [1, 2], "s": ["x", None], "d": pd.to_datetime([day, day]), "x": [0.5, float("nan")]}
    )
    client.insert_df("t", frame)
    table = pa.table(
        {
            "a": pa.array([3], pa.int64()),
            "s": pa.array(["z"]),
            "d": pa.array([day], pa.date32()),
            "x": [2.5],
        }
    )
    client.insert_arrow("t", table)
    client.insert_df_arrow("t", pl.from_arrow(table))
    assert client.query_df("SELECT a FROM t ORDER BY a")["a"].tolist() == [1, 2, 3, 3]
    assert client.query_arrow("SELECT * FROM t ORDER BY a").num_rows == 4
    got = pl.from_arrow(client.query_arrow("SELECT a, d FROM t WHERE a = 3"))
    assert got.rows() == [(3, day), (3, day)] or got.height == 2
    assert (
        client.query_df_arrow("SELECT count() AS n FROM t", dataframe_library="polars").item() == 4
    )
    assert client.query_np("SELECT a FROM t").shape == (4, 1)


def test_streams(client):
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(300000)"
    with client.query_row_block_stream(sql) as stream:
        assert sum(len(block) for block in stream) == 300_000
    with client.query_df_stream(sql) as stream:
        assert sum(len(frame) for frame in stream) == 300_000
    with client.query_arrow_stream(sql) as stream:
        assert sum(batch.num_rows for batch in stream) == 300_000
    assert client.raw_query("SELECT 1 AS a", fmt="CSVWithNames") == b'"a"\n1\n'
    assert client.raw_stream(sql, fmt="TSV").read().count(b"\n") == 300_000


@pytest.mark.parametrize(
    "fmt", ["TSV", "JSON", "JSONEachRow", "Arrow", "ArrowStream", "Parquet", "CSV", "Native", "ORC"]
)
def test_large_results_are_whole_in_every_format(client, fmt):
    """A format's own header and footer appear once, whatever the size."""
    data = client.raw_query("SELECT number AS n FROM numbers(250000)", fmt=fmt)
    client.command("CREATE TABLE t (n UInt64) ENGINE = Memory")
    client.raw_insert("t", None, data, fmt=fmt)
    assert client.query("SELECT count(), sum(n) FROM t").first_row == (250_000, 31_249_875_000)


def test_session_keeps_temporary_tables_and_sets(server):
    with server.client(session_id=uuid.uuid4().hex) as client:
        client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
        client.insert("mine", [[1], [2]])
        client.command("SET max_threads = 3")
        client.command("SET max_block_size = 1000")
        assert client.command("SELECT sum(a) FROM mine") == 3
        assert client.command("SELECT getSetting('max_threads')", settings={"max_threads": 7}) == 7
        assert client.command("SELECT getSetting('max_threads')") == 3
        with pytest.raises(DatabaseError):
            client.command("SELECT nothing FROM mine")
        with pytest.raises(DatabaseError):
            client.query("SELECT throwIf(number = 900000) FROM numbers(1000000)")
        assert client.command("SELECT sum(a), getSetting('max_threads') FROM mine") == ["3", "3"]
    with server.client() as other, pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        other.command("SELECT sum(a) FROM mine")


def test_settings_of_a_query_do_not_stay(client):
    with server_session(client) as session:
        default = client.command("SELECT getSetting('max_block_size')")
        client.command("SELECT 1", settings={**session, "max_block_size": 77})
        assert client.command("SELECT getSetting('max_block_size')", settings=session) == default


class server_session(dict):  # noqa: N801
    """Settings that put a single query into a session."""

    def __init__(self, client):
        super().__init__(session_id=uuid.uuid4().hex)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_external_data(client):
    external = ExternalData(
        file_name="people.csv",
        data=b"ann,7\nbob,8\n",
        fmt="CSV",
        structure=["name String", "age UInt8"],
    )
    sql = "SELECT name, age + {plus:UInt8} FROM people ORDER BY age"
    found = client.query(sql, parameters={"plus": 1}, external_data=external)
    assert found.result_rows == [("ann", 8), ("bob", 9)]


def test_errors_carry_code_name_and_text(client):
    for sql, code, name in (
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT * FROM nothing", 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT toUInt8('x')", 6, "CANNOT_PARSE_TEXT"),
        ("SELECT 1 FORMAT Nothing", 73, "UNKNOWN_FORMAT"),
    ):
        with pytest.raises(DatabaseError) as caught:
            client.command(sql)
        assert caught.value.code == code
        assert caught.value.name == name
        assert "OUTFILE '/proc" not in str(caught.value)
    with pytest.raises(DatabaseError, match="UNKNOWN_SETTING"):
        client.raw_query("SELECT 1", settings={"no_such_setting": 1}, fmt="TSV")


def test_error_in_mid_stream_is_an_error(client):
    sql = "SELECT number, throwIf(number = 2900000, 'too far') FROM numbers(3000000)"
    with (
        pytest.raises(StreamFailureError, match="too far"),
        client.query_row_block_stream(sql, settings={"max_block_size": 10_000}) as stream,
    ):
        for _ in stream:
            pass


def test_no_leftovers_after_an_error(client):
    """The engine leaves rest of a failed result to the connection's next query; the server not."""
    broken = "SELECT number, throwIf(number = 150000) FROM numbers(300000)"
    for session in ({}, {"session_id": uuid.uuid4().hex}):
        for turn in range(10):
            with pytest.raises(DatabaseError):
                client.query(broken, settings={"max_block_size": 1000, **session})
            assert client.query(f"SELECT {turn}", settings=session).result_rows == [(turn,)]


def test_insert_errors_write_nothing(client):
    client.command("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(DatabaseError, match="CANNOT_PARSE"):
        client.raw_insert("t", ["a"], b"1\n2\nnot a number\n", fmt="TSV")
    assert client.command("SELECT count() FROM t") == 0
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.raw_insert("nothing", ["a"], b"1\n", fmt="TSV")


def test_inline_inserts(client):
    client.command("CREATE TABLE t (a UInt8, s String) ENGINE = MergeTree ORDER BY a")
    client.command("INSERT INTO t VALUES (1, 'a;b'), (2, 'it''s -- ) no comment');")
    client.command('INSERT INTO t (s, a) FORMAT CSV\n"x;",3\n')
    client.command("INSERT INTO t SELECT a + 10, s FROM t")
    client.command("INSERT INTO t SETTINGS async_insert = 0 VALUES (9, lower('Q'))")
    client.command(
        "INSERT INTO t SELECT a, s FROM input('a UInt8, s String') FORMAT CSV\n50,fed\n51,in\n"
    )
    assert client.command("SELECT count(), sum(a) FROM t") == ["9", "152"]


def test_twelve_threads_share_a_client(server, database):
    problems = []
    with server.client(database=database, autogenerate_session_id=False) as client:
        client.command("CREATE TABLE t (a UInt64, w UInt8) ENGINE = MergeTree ORDER BY a")

        def work(worker):
            try:
                for turn in range(15):
                    client.insert("t", [[turn, worker]], column_names=["a", "w"])
                    rows = client.query("SELECT number + %(w)s FROM numbers(1000)", {"w": worker})
                    assert rows.result_rows[-1] == (999 + worker,)
                    with pytest.raises(DatabaseError):
                        client.command("SELECT throwIf(1)")
            except BaseException as error:  # noqa: BLE001
                problems.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not problems
        assert client.command("SELECT count(), uniqExact(a, w) FROM t") == ["180", "180"]


def test_ddl_that_dbt_needs(client):
    client.command("CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x")
    client.command("CREATE TABLE b (x UInt8) ENGINE = MergeTree ORDER BY x")
    client.insert("a", [[1]])
    client.command("EXCHANGE TABLES a AND b")
    assert client.command("SELECT count() FROM b") == 1
    client.command("ALTER TABLE a ATTACH PARTITION tuple() FROM b")
    client.command("ALTER TABLE a ADD COLUMN y String DEFAULT 'd'")
    assert client.query("SELECT * FROM a").result_rows == [(1, "d")]
    client.command("ALTER TABLE a DELETE WHERE x = 1", settings={"mutations_sync": 2})
    assert client.command("SELECT count() FROM a") == 0


def test_caller_log_comment_is_kept_as_given(client):
    sql = "SELECT Settings['log_comment'] FROM system.processes WHERE query_id = queryID()"
    found = client.query(sql, settings={"log_comment": "run 0815"})
    assert found.result_rows == [("run 0815",)]


def test_a_query_gives_the_same_bits_however_often_it_is_asked(client):
    """The engine compiles what it has met three times, and compiled code rounds otherwise."""
    sql = (
        "SELECT groupBitXor(cityHash64(toFloat64(x - y) / 1208925819614629174706176.0 / 5)) FROM"
        " (SELECT toInt128(cityHash64(number)) * 1000003 AS x, toInt128(number) AS y"
        " FROM numbers(10000))"
    )
    assert len({client.query(sql).result_rows[0][0] for _ in range(6)}) == 1
    compiled = {"compile_expressions": 1, "min_count_to_compile_expression": 0}
    assert client.query(sql, settings=compiled).result_rows != client.query(sql).result_rows
