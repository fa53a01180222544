"""Our reading of a text against the engine's own parser, on texts made to confuse both."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stock_platform.warehouse.server.engine import Connection
from stock_platform.warehouse.server.errors import ServerError
from stock_platform.warehouse.server.lexer import tokens

PIECES = [
    "SELECT 1",
    "SELECT a",
    "SELECT",
    "FROM t",
    "INSERT INTO t SELECT 1",
    "DROP TABLE x",
    "SET a = 1",
    ";",
    ";;",
    "'",
    "''",
    "\\'",
    "\\",
    '"',
    '""',
    "`",
    "``",
    "--",
    "-- x",
    "\n",
    "/*",
    "*/",
    "/* ; */",
    "#",
    "# ",
    "#!",
    "$$",
    "$a$",
    "$",
    "\u2018",
    "\u2019",
    "\u201c",
    "\u201d",
    "\xa0",
    "\u200b",
    "\ufeff",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "1",
    "0x",
    ".",
    ",",
    "x",
    "file",
    "system",
    "a.b",
    "AS",
    "=",
    "!",
    "@",
    "?",
    ":",
    "::",
    "->",
    "//",
    "\t",
    "\r",
    "\x0b",
    "\x0c",
    "\xe9",
    "b'1'",
    "x'41'",
    "e'",
]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map(
    lambda pieces: "SELECT 1" + " ".join(pieces) if len(pieces) % 2 else "".join(pieces)
)
relaxed = settings(
    max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False
)


@pytest.fixture(scope="module")
def connection():
    made = Connection(":memory:")
    made.set({"implicit_select": "0"})
    yield made
    made.close()


def separators(text):
    """Positions in the token list of semicolons that something follows."""
    found = tokens(text)
    while found and found[-1].text == ";":
        found.pop()
    return [token for token in found if token.kind == "mark" and token.text == ";"]


@relaxed
@given(text=texts)
def test_no_second_statement_escapes(connection, text):
    _, count = connection.classify(text.encode())
    if count > 1:
        assert separators(text), f"the engine sees {count} statements"


@relaxed
@given(text=texts)
def test_no_name_escapes(connection, text):
    """Whatever name the engine's parser finds, our tokens show it too."""
    try:
        tree = connection.run(b"EXPLAIN AST " + text.encode(), "TabSeparatedRaw").bytes().decode()
    except ServerError:
        return
    ours = {token.name.lower() for token in tokens(text)}
    for name in re.findall(r"(?:Function|Identifier|TableIdentifier) ([\w$]+)", tree):
        if name in text:
            assert name.lower() in ours, tree


@relaxed
@given(text=texts)
def test_tokens_cover_the_text(text):
    end = 0
    for token in tokens(text):
        assert token.start >= end
        assert text[token.start : token.end] == token.text
        end = token.end


@relaxed
@given(text=st.text(max_size=200))
def test_any_text_is_read_in_time(text):
    tokens(text)


@pytest.mark.parametrize(
    "text",
    [
        "'" * 200_001,
        "`" + "\\a" * 300_000,
        "/*" * 300_000,
        "$" * 100_000,
        " ".join(f"$a{n}$" for n in range(30_000)),
    ],
)
def test_long_hostile_texts_take_linear_time(text):
    import time

    begun = time.monotonic()
    tokens(text)
    assert time.monotonic() - begun < 2
