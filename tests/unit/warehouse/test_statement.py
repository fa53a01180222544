"""Where a statement's data, output clause and end are."""

import pytest

from stock_platform.warehouse.server.errors import ServerError, from_engine
from stock_platform.warehouse.server.lexer import tokens
from stock_platform.warehouse.server.statement import parse_insert, parse_statement


@pytest.mark.parametrize(
    ("text", "head", "name", "data"),
    [
        ("INSERT INTO t VALUES (1)", "INSERT INTO t ", "Values", " (1)"),
        ("insert into t (a, b) values(1)", "insert into t (a, b) ", "Values", "(1)"),
        ("INSERT INTO t FORMAT CSV\n1;2\n", "INSERT INTO t ", "CSV", "1;2\n"),
        ("INSERT INTO t FORMAT CSV 1", "INSERT INTO t ", "CSV", "1"),
        ("INSERT INTO t FORMAT CSV \t\r\n\n1", "INSERT INTO t ", "CSV", "\n1"),
        ("INSERT INTO TABLE d.t FORMAT TSV\n", "INSERT INTO TABLE d.t ", "TSV", ""),
        ("INSERT INTO `values` FORMAT TSV\nx", "INSERT INTO `values` ", "TSV", "x"),
        ("INSERT INTO format FORMAT TSV\nx", "INSERT INTO format ", "TSV", "x"),
        ("INSERT INTO d.values VALUES (1)", "INSERT INTO d.values ", "Values", " (1)"),
        (
            "INSERT INTO FUNCTION null('a Int8') VALUES (1)",
            "INSERT INTO FUNCTION null('a Int8') ",
            "Values",
            " (1)",
        ),
        (
            "INSERT INTO t SETTINGS async_insert = 0 VALUES (1)",
            "INSERT INTO t SETTINGS async_insert = 0 ",
            "Values",
            " (1)",
        ),
        ("INSERT /* VALUES */ INTO t -- FORMAT x\nFORMAT CSV\né",
         "INSERT /* VALUES */ INTO t -- FORMAT x\n", "CSV", "é"),
        ("INSERT INTO é VALUES (1)", "INSERT INTO é ", "Values", " (1)"),
        (
            'INSERT INTO t (`FORMAT`, "VALUES") FORMAT CSV\n1',
            'INSERT INTO t (`FORMAT`, "VALUES") ',
            "CSV",
            "1",
        ),
    ],
)  # fmt: skip
def test_insert_with_data(text, head, name, data):
    found = parse_insert(text)
    assert found is not None
    assert (found.statement, found.format) == (head, name)
    assert text.encode()[found.data_start :].decode() == data


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 FORMAT CSV",
        "INSERT INTO t SELECT 1",
        "INSERT INTO t (SELECT 'VALUES')",
        "INSERT INTO t WITH 1 AS x SELECT x FORMAT Null",
        "INSERT INTO values SELECT 1",
        "",
        "-- INSERT INTO t VALUES (1)",
    ],
)
def test_statement_without_data(text):
    assert parse_insert(text) is None


def test_input_function():
    text = "INSERT INTO t SELECT a FROM input('a Int8, b String') WHERE a > 1 FORMAT CSV\n1,;\n"
    found = parse_insert(text)
    assert found is not None
    assert found.structure == "a Int8, b String"
    assert found.selecting_from("tmp") == "INSERT INTO t SELECT a FROM tmp WHERE a > 1 "
    for broken in (
        "INSERT INTO t SELECT * FROM input(concat('a', ' Int8')) FORMAT CSV\n1",
        "INSERT INTO t SELECT * FROM input('a Int8')",
    ):
        found = None
        try:
            found = parse_insert(broken)
        except ServerError:
            continue
        assert found is None


@pytest.mark.parametrize(
    ("text", "name", "output"),
    [
        ("SELECT 1", None, "SELECT 1\nINTO OUTFILE 'p' TRUNCATE\nFORMAT TSV\n"),
        ("SELECT 1 ;; -- x", None, "SELECT 1\nINTO OUTFILE 'p' TRUNCATE\nFORMAT TSV\n"),
        ("SELECT 1 FORMAT CSV", "CSV", "SELECT 1 \nINTO OUTFILE 'p' TRUNCATE\nFORMAT CSV"),
        ("SELECT 1 AS format", None, "SELECT 1 AS format\nINTO OUTFILE 'p' TRUNCATE\nFORMAT TSV\n"),
        (
            "SELECT 1 FORMAT CSV SETTINGS max_threads = 1",
            "CSV",
            "SELECT 1 \nINTO OUTFILE 'p' TRUNCATE\nFORMAT CSV SETTINGS max_threads = 1",
        ),
        (
            "SELECT * FROM (SELECT 1 FORMAT CSV)",
            None,
            "SELECT * FROM (SELECT 1 FORMAT CSV)\nINTO OUTFILE 'p' TRUNCATE\nFORMAT TSV\n",
        ),
    ],
)
def test_output_clause(text, name, output):
    found = parse_statement(text)
    assert found.format == name
    assert found.writing_to("p", "TSV") == output


@pytest.mark.parametrize("text", ["", ";", " -- x", "/* x", "SELECT 1 INTO /**/ outfile 'x'"])
def test_refused(text):
    with pytest.raises(ServerError):
        parse_statement(text)


def test_kill_means_the_callers_id():
    text = "KILL QUERY WHERE query_id = 'query_id' AND `query_id` != '' SYNC"
    found = parse_statement(text).with_callers_ids("X")
    assert found == "KILL QUERY WHERE X = 'query_id' AND X != '' SYNC"
    assert parse_statement("SELECT query_id").with_callers_ids("X") == "SELECT query_id"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a'b;\\'c''d'", ["a", "b;'c'd"]),
        ('"a""b" `c``d`', ['a"b', "c`d"]),
        ("x--y;\nz#! w\n# v\n#u", ["x", "z", "#", "u"]),
        ("$t$;$t$ $x", ["$t$;$t$", "$x"]),
        ("/* a; */b/**/", ["b"]),
    ],
)
def test_tokens(text, names):
    assert [token.name for token in tokens(text)] == names


def test_errors_of_the_engine():
    text = (
        "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'readonly' setting. "
        "(READONLY) (version 26.9.2.1). (READONLY)"
    )
    error = from_engine(RuntimeError(text))
    assert (error.code, error.name, error.status) == (164, "READONLY", 500)
    assert error.body("1.2") == (
        b"Code: 164. DB::Exception: Cannot modify 'readonly' setting. (READONLY) (version 1.2)\n"
    )
    once = from_engine(RuntimeError("Code: 32. DB::Exception: No. (EOF) (version 26.9.2.1)\n"))
    assert (once.name, once.text) == ("EOF", "No.")
    assert from_engine(RuntimeError("nothing known")).code == 1002
