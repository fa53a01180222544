"""The read-only user: what it may do, and every way out of it that we know."""

import pytest

SECRET = "do-not-tell-4711"

ALLOWED = [
    "SELECT 1",
    "SELECT count() FROM {db}.t",
    "WITH 1 AS x SELECT x, s FROM {db}.t",
    "SELECT * FROM {db}.t ORDER BY a LIMIT 1 SETTINGS max_threads = 1",
    "SELECT * FROM {db}.v",
    "SELECT * FROM {db}.seen_as_of(at = 1)",
    "SELECT name FROM system.tables WHERE database = '{db}'",
    "SELECT database, `table`, name FROM system.columns LIMIT 3",
    "SELECT * FROM information_schema.tables LIMIT 1",
    "SELECT * FROM numbers(3)",
    "EXPLAIN SELECT * FROM {db}.t",
    "DESCRIBE TABLE {db}.t",
    "EXISTS TABLE {db}.t",
    "SHOW TABLES FROM {db}",
    "SHOW CREATE TABLE {db}.t",
    "SHOW DATABASES",
    "SELECT 'file(x) system.processes; INSERT' AS harmless -- system.processes",
]

WRITING = [
    "INSERT INTO {db}.t VALUES (9, 'x')",
    "INSERT INTO {db}.t FORMAT TSV\n9\tx\n",
    "INSERT INTO {db}.t SELECT 9, 'x'",
    "WITH 9 AS z INSERT INTO {db}.t SELECT z, 'x'",
    "CREATE TABLE {db}.u (a Int8) ENGINE = Memory",
    "CREATE VIEW {db}.w AS SELECT * FROM file('/etc/hostname')",
    "CREATE TEMPORARY TABLE u (a Int8)",
    "CREATE DATABASE other_{db}",
    "CREATE FUNCTION plus_one AS x -> x + 1",
    "ALTER TABLE {db}.t DELETE WHERE 1",
    "TRUNCATE TABLE {db}.t",
    "DROP TABLE {db}.t",
    "OPTIMIZE TABLE {db}.t FINAL",
    "RENAME TABLE {db}.t TO {db}.u",
    "EXCHANGE TABLES {db}.t AND {db}.t",
    "DELETE FROM {db}.t WHERE 1",
    "KILL QUERY WHERE 1",
    "SYSTEM FLUSH LOGS",
    "SYSTEM SHUTDOWN",
    "GRANT administrator TO default",
    "BACKUP TABLE {db}.t TO File('/tmp/x')",
    "ATTACH TABLE {db}.u",
    "DETACH TABLE {db}.t",
    "INSERT INTO FUNCTION file('/tmp/x.csv', 'CSV', 'a Int8') VALUES (1)",
    "INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV', 'a Int8') VALUES (1)",
    "SELECT 1 INTO OUTFILE '/tmp/x'",
    "SET ROLE administrator",
    "SET DEFAULT ROLE administrator TO default",
    "EXECUTE AS default SELECT 1",
]

FOREIGN = [
    "SELECT * FROM file('/etc/hostname', 'LineAsString')",
    "SELECT * FROM FILE/* */('/etc/hostname', 'LineAsString')",
    "SELECT * FROM `file`('/etc/hostname', 'LineAsString')",
    "SELECT * FROM \"file\" -- x\n ('/etc/hostname', 'LineAsString')",
    "SELECT * FROM '/etc/hostname'",
    "SELECT * FROM `/etc/hostname`",
    "SELECT * FROM default.`/etc/hostname`",
    "SELECT file('/etc/hostname')",
    "SELECT fIlE('/etc/hostname')",
    "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
    "SELECT * APPLY file FROM (SELECT '/etc/hostname')",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/hostname')",
    "SELECT arrayMap(file, ['/etc/hostname'])",
    "SELECT arrayMap(`fi\\x6ce`, ['/etc/hostname'])",
    "DESCRIBE TABLE file('/etc/hostname', 'LineAsString')",
    "EXPLAIN SELECT * FROM file('/etc/hostname', 'LineAsString')",
    "SELECT 1 WHERE 1 IN (SELECT 1 FROM file('/etc/hostname', 'LineAsString'))",
    "SELECT * FROM {db}.reads_a_file",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int8')",
    "SELECT * FROM s3('http://127.0.0.1:1/bucket/x.csv', 'CSV', 'a Int8')",
    "SELECT * FROM remote('127.0.0.1:1', 'system', 'processes')",
    "SELECT * FROM executable('x', 'CSV', 'a Int8')",
    "SELECT * FROM icebergLocal('/tmp')",
    "SELECT * FROM deltaLakeLocal('/tmp')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('/tmp/x', 'y')",
    "SELECT * FROM filesystem('/etc')",
    "SELECT * FROM python('x')",
    "SELECT * FROM input('a Int8')",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '/etc/hostname'",
]

OTHERS = [
    "SELECT query FROM system.processes",
    "SELECT query FROM `system`.`processes`",
    "SELECT query FROM system /* */ . /* */ processes",
    'SELECT query FROM "system"."processes"',
    "SELECT * FROM system.errors",
    "SELECT * FROM system.query_log",
    "SELECT * FROM system.user_query_log",
    "SELECT * FROM system.session_query_ids",
    "SELECT * FROM system.stack_trace",
    "SELECT * FROM system.users",
    "SELECT * FROM system.named_collections",
    "SELECT * FROM system.server_settings",
    "SELECT 1 IN system.processes",
    "SELECT * FROM merge('system', 'processes')",
    "SELECT * FROM merge(REGEXP('sys.*'), 'processes')",
    "SELECT * FROM cluster('default', system.processes)",
    "SELECT * FROM loop(system.processes)",
    "SELECT * FROM view(SELECT query FROM system.processes)",
    "SELECT (SELECT query FROM system.processes LIMIT 1)",
    "WITH x AS (SELECT query FROM system.processes) SELECT * FROM x",
    "SELECT * APPLY(x -> (SELECT any(query) FROM system.processes)) FROM (SELECT 1)",
    "SELECT * REPLACE((SELECT any(query) FROM system.processes) AS a) FROM (SELECT 1 AS a)",
    "SHOW PROCESSLIST",
    "SHOW FULL PROCESSLIST",
    "SHOW TABLES WHERE 'x' IN (SELECT query FROM system.processes)",
    "SELECT * SETTINGS implicit_table_at_top_level = 'system.processes'",
    "SELECT * FROM {db}.t SETTINGS additional_table_filters = {{'{db}.t': 'a IN system.errors'}}",
    "SELECT * FROM processes SETTINGS database = 'system'",
    "SHOW ACCESS",
    "SHOW USERS",
]

LIFTING = [
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_threads = 1, `readonly` = 0",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT 1 SETTINGS max_threads = 1, max_memory_usage = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage_for_user = 1, max_memory_usage=0)",
    "SELECT 1 FORMAT TSV SETTINGS max_memory_usage = 0",
    "SET readonly = 0",
    "SET max_memory_usage = 0",
    "SET max_threads = 1, max_memory_usage = 0",
    "SET profile = 'default'",
    "SELECT 1 SETTINGS dialect = 'prql'",
    "SELECT 1 SETTINGS allow_introspection_functions = 1",
    "USE system",
]


@pytest.fixture(scope="module")
def db(server):
    name = "reader_tests"
    for sql in (
        f"CREATE DATABASE {name}",
        f"CREATE TABLE {name}.t (a UInt8, s String) ENGINE = MergeTree ORDER BY a",
        f"INSERT INTO {name}.t VALUES (1, '{SECRET[:3]}')",
        f"CREATE VIEW {name}.v AS SELECT * FROM {name}.t",
        f"CREATE VIEW {name}.seen_as_of AS SELECT * FROM {name}.t WHERE a <= {{at:UInt8}}",
        f"CREATE VIEW {name}.reads_a_file AS SELECT * FROM file('/etc/hostname', 'LineAsString')",
    ):
        answer = server.request(sql)
        assert answer.ok, answer.text
    yield name
    server.request(f"DROP DATABASE {name}").raise_for_status()


@pytest.mark.parametrize("sql", ALLOWED)
def test_reader_may_read(server, db, sql):
    answer = server.request(sql.format(db=db), user="reader")
    assert answer.ok, answer.text


@pytest.mark.parametrize("sql", WRITING + FOREIGN + OTHERS + LIFTING)
def test_reader_is_refused(server, db, sql):
    text = sql.format(db=db)
    answer = server.request(text, user="reader", session_id="refused")
    assert answer.status_code in (400, 403, 404, 500), answer.text
    assert int(answer.headers["X-ClickHouse-Exception-Code"]) in (47, 62, 80, 164, 497), answer.text
    assert server.request(f"SELECT groupArray((a, s)) FROM {db}.t").text == "[(1,'do-')]\n"
    assert server.request("SELECT 2", user="reader", session_id="refused").text == "2\n"


@pytest.mark.parametrize("name", ["readonly", "max_memory_usage", "profile", "READONLY"])
def test_reader_cannot_lift_limits_in_the_url(server, name):
    answer = server.request("SELECT 1", user="reader", **{name: "0"})
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("164", "115")


def test_reader_cannot_make_system_the_current_database(server):
    for options in ({"database": "system"}, {"headers": {"X-ClickHouse-Database": "system"}}):
        answer = server.request("SELECT query FROM processes", user="reader", **options)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "497"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT * FROM {a:Identifier}.{b:Identifier}", {"a": "system", "b": "processes"}),
        ("SELECT * FROM system.{b:Identifier}", {"b": "processes"}),
        ("SELECT arrayMap({a:Identifier}, ['/etc/hostname'])", {"a": "file"}),
        ("SELECT * APPLY({a:Identifier}) FROM (SELECT '/etc/hostname')", {"a": "file"}),
        ("SELECT * FROM {a:Identifier}", {"a": "/etc/hostname"}),
    ],
)
def test_reader_cannot_name_things_through_parameters(server, sql, values):
    answer = server.request(
        sql, user="reader", **{f"param_{name}": value for name, value in values.items()}
    )
    assert not answer.ok
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("497", "62", "60"), answer.text


def test_reader_keeps_its_role_in_a_session(server, db):
    ask = {"user": "reader", "session_id": "role"}
    assert server.request("SELECT currentRoles(), getSetting('readonly')", **ask).text == (
        "['reader']\t2\n"
    )
    assert server.request("SET max_threads = 3", **ask).ok
    assert server.request("SELECT getSetting('max_threads')", **ask).text == "3\n"
    assert server.request(f"USE {db}", **ask).ok
    assert server.request("SELECT count() FROM t", **ask).text == "1\n"
    assert server.request("SELECT currentRoles(), getSetting('readonly')", **ask).text == (
        "['reader']\t2\n"
    )


def test_sessions_of_users_are_apart(server):
    assert server.request("CREATE TEMPORARY TABLE mine (a Int8)", session_id="shared").ok
    answer = server.request("SELECT * FROM mine", user="reader", session_id="shared")
    assert answer.headers["X-ClickHouse-Exception-Code"] in ("60", "497")


def test_credentials_are_not_in_table_definitions(server, db):
    sql = (
        f"CREATE TABLE {db}.bucket (a Int8) ENGINE = "
        f"S3('http://127.0.0.1:1/bucket/x.csv', 'key', '{SECRET}', 'CSV')"
    )
    assert server.request(sql).ok
    for question in (
        f"SHOW CREATE TABLE {db}.bucket",
        "SELECT create_table_query, engine_full FROM system.tables",
        f"SHOW CREATE TABLE {db}.bucket SETTINGS format_display_secrets_in_show_and_select = 1",
    ):
        assert SECRET not in server.request(question, user="reader").text


def test_wrong_password_and_unknown_user(server):
    import requests

    for user, password in (
        ("default", "wrong"),
        ("default", ""),
        ("nobody", server.passwords["default"]),
        ("reader", server.passwords["default"]),
        ("", ""),
    ):
        answer = requests.post(server.url, data="SELECT 1", auth=(user, password), timeout=10)
        assert answer.status_code == 403
        assert answer.headers["X-ClickHouse-Exception-Code"] == "516"
        assert answer.text.startswith("Code: 516. DB::Exception: ")
    assert requests.post(server.url, data="SELECT 1", timeout=10).status_code == 403


def test_three_ways_to_authenticate(server):
    password = server.passwords["reader"]
    headers = {"X-ClickHouse-User": "reader", "X-ClickHouse-Key": password}
    assert server.request("SELECT 1", user=None, headers=headers).text == "1\n"
    assert server.request("SELECT 1", user=None, params=None).status_code == 403
    import requests

    answer = requests.post(
        server.url,
        params={"user": "reader", "password": password},
        data="SELECT currentRoles()",
        timeout=10,
    )
    assert answer.text == "['reader']\n"


def test_credentials_file_is_private(server):
    path = server.directory / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(len(password) >= 32 for password in server.passwords.values())
    assert server.passwords["default"] != server.passwords["reader"]
