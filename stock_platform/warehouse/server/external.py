"""External data: files of a multipart request that a query sees as temporary tables."""

from __future__ import annotations

from dataclasses import dataclass

from stock_platform.warehouse.server.engine import Connection, identifier
from stock_platform.warehouse.server.errors import BAD_ARGUMENTS, ServerError, from_engine


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
        table = identifier(self.name)
        connection.run(f"CREATE TEMPORARY TABLE {table} ({self.structure})".encode())
        stream = connection.insert(f"INSERT INTO {table}".encode(), self.format)
        try:
            stream.append(self.data)
            stream.finish()
        except RuntimeError as error:
            raise from_engine(error) from None


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
