"""What kind of statement a request carries and where its parts are: data, FORMAT, end.

Reading SQL further than that (names, rights, meaning) is the engine's or `guard.py`'s work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import pairwise

from stock_platform.warehouse.server.errors import (
    INCORRECT_QUERY,
    SYNTAX_ERROR,
    ServerError,
)
from stock_platform.warehouse.server.lexer import Token, tokens

DEFAULT_FORMAT = "TabSeparated"
HEAD_BYTES = 262_144
"""An INSERT's text up to its data must fit in this much, ClickHouse's own `max_query_size`."""

_NO_OUTPUT_CLAUSE = ("SET", "USE", "SYSTEM", "INSERT", "SHOW")
"""SHOW has one, but the engine turns it into another query and forgets where its output goes."""


@dataclass(frozen=True)
class InsertData:
    """`INSERT` with data in the request: the statement's text, the data's format and start."""

    statement: str
    format: str
    data_start: int
    """Offset in the text's UTF-8 bytes at which the data begins."""
    structure: str = ""
    """Columns of the data when the statement selects from them: `input('<structure>')`."""

    def selecting_from(self, table: str) -> str:
        """The statement with its `input(...)` replaced by a table that holds the data."""
        call = _input_call(tokens(self.statement))
        assert call is not None
        return self.statement[: call[0].start] + table + self.statement[call[-1].end :]


@dataclass(frozen=True)
class Statement:
    """One statement without data: its text and the place where its output clause goes."""

    text: str
    format: str | None
    output_at: int
    found: list[Token]

    @property
    def head(self) -> str:
        """First keyword in upper case."""
        return self.found[0].text.upper() if self.found else ""

    @property
    def plain(self) -> bool:
        """True when the result, small or none, can't be sent to a file."""
        return self.head in _NO_OUTPUT_CLAUSE

    @property
    def body(self) -> str:
        """The text without its own FORMAT clause."""
        return self.text[: self.output_at]

    def with_callers_ids(self, expression: str) -> str:
        """The text of a KILL with `query_id` meaning the id the caller gave; others unchanged."""
        if self.head != "KILL":
            return self.text
        text = self.text
        for token in reversed(self.found):
            if token.kind in ("word", "quoted") and token.name == "query_id":
                text = text[: token.start] + expression + text[token.end :]
        return text

    def writing_to(self, path: str, default_format: str) -> str:
        """The text with its result sent to a file (a pipe of ours) in its own or that format."""
        outfile = f"\nINTO OUTFILE '{path}' TRUNCATE\n"
        if self.format is None:
            outfile += f"FORMAT {default_format}\n"
        return self.text[: self.output_at] + outfile + self.text[self.output_at :]


def parse_insert(text: str) -> InsertData | None:
    """Find the inline data of `INSERT ... VALUES`/`FORMAT x`; None for any other statement.

    Raises:
        ServerError: the statement reads a file of the server (`FROM INFILE`).
    """
    found = tokens(text)
    if not found or not found[0].is_word("INSERT"):
        return None
    at = _after_table(found)
    depth = 0
    while at < len(found):
        token = found[at]
        if token.text in "([{" and token.kind == "mark":
            depth += 1
        elif token.text in ")]}" and token.kind == "mark":
            depth -= 1
        elif depth == 0 and token.is_word("SELECT", "WITH", "WATCH"):
            return _input_function(found, text)
        elif depth == 0 and token.is_word("FROM"):
            if at + 1 < len(found) and found[at + 1].is_word("INFILE"):
                raise ServerError(INCORRECT_QUERY, "FROM INFILE is not supported over HTTP")
            return None
        elif depth == 0 and token.is_word("VALUES"):
            return _insert(text, token.start, "Values", token.end)
        elif depth == 0 and token.is_word("FORMAT") and at + 1 < len(found):
            name = found[at + 1]
            return _insert(text, token.start, name.name, _skip_to_data(text, name.end))
        at += 1
    return None


def parse_statement(text: str) -> Statement:
    """Split off trailing semicolons and find where an output clause goes.

    Raises:
        ServerError: the text is empty, or writes to a file of the server (`INTO OUTFILE`).
    """
    found = tokens(text)
    while found and found[-1].text == ";":
        found.pop()
    if not found:
        raise ServerError(SYNTAX_ERROR, "Syntax error: Empty query")
    for token, after in pairwise(found):
        if token.is_word("INTO") and after.is_word("OUTFILE"):
            raise ServerError(INCORRECT_QUERY, "INTO OUTFILE is not supported over HTTP")
    text = text[: found[-1].end]
    where = _output_format(found)
    if where is None:
        return Statement(text, None, len(text), found)
    return Statement(text, found[where + 1].name, found[where].start, found)


def _output_format(found: list[Token]) -> int | None:
    """Index of the FORMAT keyword of the statement's own output clause."""
    for at in range(len(found) - 2, 0, -1):
        if found[at].is_word("FORMAT") and found[at + 1].kind in ("word", "quoted"):
            rest = found[at + 2 :]
            if not rest or (rest[0].is_word("SETTINGS") and len(rest) > 1):
                return at
    return None


def _after_table(found: list[Token]) -> int:
    """Index of the first token after `INSERT INTO [TABLE] [FUNCTION f(...)] name`."""
    at = 1
    if at < len(found) and found[at].is_word("INTO"):
        at += 1
    if at + 1 < len(found) and found[at].is_word("TABLE") and found[at + 1].text not in ".(":
        at += 1
    if at < len(found) and found[at].is_word("FUNCTION"):
        return at + 2
    at += 1
    while at + 1 < len(found) and found[at].text == ".":
        at += 2
    return at


def _insert(text: str, end: int, name: str, data: int) -> InsertData:
    return InsertData(text[:end], name, len(text[:data].encode("utf-8", "surrogateescape")))


def _skip_to_data(text: str, at: int) -> int:
    """Data starts after the first line break, or after the blanks when there is none."""
    match = re.compile(r"[ \t\f]*\r?\n?").match(text, at)
    return match.end() if match else at


def _input_call(found: list[Token]) -> list[Token] | None:
    """The tokens of `input('<structure>')`."""
    for at in range(len(found) - 3):
        call = found[at : at + 4]
        shape = [token.text for token in call]
        if call[0].is_word("INPUT") and shape[1] == "(" and shape[3] == ")":
            return call
    return None


def _input_function(found: list[Token], text: str) -> InsertData | None:
    """`INSERT ... SELECT ... FROM input(...) FORMAT x` carries data after the format's name."""
    call = _input_call(found)
    if call is None:
        return None
    if call[2].kind != "string":
        raise ServerError(INCORRECT_QUERY, "input() needs its structure as a literal string")
    for at in range(found.index(call[-1]), len(found) - 1):
        if found[at].is_word("FORMAT"):
            name = found[at + 1]
            data = _insert(text, found[at].start, name.name, _skip_to_data(text, name.end))
            return replace(data, structure=call[2].name)
    raise ServerError(INCORRECT_QUERY, "input() needs a FORMAT and data after it")
