"""External data: files of a multipart request that a query sees as temporary tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from stock_platform.warehouse.server.engine import Connection, identifier, literal
from stock_platform.warehouse.server.errors import BAD_ARGUMENTS, ServerError, from_engine
from stock_platform.warehouse.server.lexer import Token, tokens


@dataclass(frozen=True)
class ExternalTable:
    """A table that lives as long as its request."""

    name: str
    structure: str
    format: str
    data: bytes

    def create(self, connection: Connection) -> None:
        """Create and fill the table.

        Raises:
            ServerError: the structure or the data are unusable.
        """
        create_table(connection, self.name, self.structure)
        stream = connection.insert(f"INSERT INTO {identifier(self.name)}".encode(), self.format)
        try:
            stream.append(self.data)
            stream.finish()
        except RuntimeError as error:
            raise from_engine(error) from None


def create_table(connection: Connection, name: str, structure: str) -> None:
    """Create a temporary table of `name type, ...`.

    It is made before the reader's rights are taken away, so nothing of a caller's text becomes SQL:
    names are quoted, and types are spelled by the engine.

    Raises:
        ServerError: the structure is not a list of names and types.
    """
    columns = list(_columns(structure))
    ask = ", ".join(f"toTypeName(defaultValueOfTypeName({literal(kind)}))" for _, kind in columns)
    answer = connection.run(f"SELECT {ask}".encode(), "JSONCompactEachRow")
    kinds = json.loads(answer.bytes())
    body = ", ".join(
        f"{identifier(column)} {kind}" for (column, _), kind in zip(columns, kinds, strict=True)
    )
    connection.run(f"CREATE TEMPORARY TABLE {identifier(name)} ({body})".encode())


def _columns(structure: str) -> Iterator[tuple[str, str]]:
    """Names and types, cut at the commas outside parentheses."""
    depth, column = 0, []
    end = Token("mark", ",", len(structure), len(structure))
    for token in [*tokens(structure), end]:
        depth += (token.text == "(") - (token.text == ")")
        if token.text != "," or depth:
            column.append(token)
            continue
        if len(column) < 2:
            raise ServerError(BAD_ARGUMENTS, f"{structure!r} is not a list of names and types")
        yield column[0].name, structure[column[1].start : column[-1].end]
        column = []


def from_form(name: str, data: bytes, parameters: dict[str, str]) -> ExternalTable:
    """Describe a file by its `<name>_structure` or `<name>_types`, and `<name>_format`.

    Raises:
        ServerError: neither structure nor types are given.
    """
    structure = parameters.get(f"{name}_structure", "")
    types = parameters.get(f"{name}_types", "")
    if not structure and types:
        structure = ", ".join(f"_{n} {kind}" for n, kind in enumerate(types.split(","), 1))
    if not structure:
        raise ServerError(
            BAD_ARGUMENTS,
            f"Neither structure nor types have not been provided for external table {name}. "
            f"Use fields {name}_structure or {name}_types to do so",
        )
    return ExternalTable(name, structure, parameters.get(f"{name}_format", "TabSeparated"), data)
