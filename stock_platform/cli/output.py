"""How a command prints an answer: as a table for people, tab-separated or JSON for machines."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Format(StrEnum):
    """`tsv` is values only, no header and no footer, escaped as ClickHouse does, NULL too."""

    table = "table"
    tsv = "tsv"
    json = "json"


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], style: Format) -> str:
    """The answer as text, without a trailing newline; JSON is a list of objects."""
    if style is Format.json:
        return json.dumps(
            [dict(zip(columns, row, strict=True)) for row in rows], default=_json, indent=1
        )
    if style is Format.tsv:
        return "\n".join("\t".join(_tsv(value) for value in row) for row in rows)
    return _table(columns, rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max([len(name), *(len(row[place]) for row in cells)]) for place, name in enumerate(columns)
    ]
    right = [
        bool(rows) and all(isinstance(row[n], int | float | Decimal | None) for row in rows)
        for n in range(len(columns))
    ]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.rjust(width) if number else value.ljust(width)
            for value, width, number in zip(values, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join(
        [line(columns), line(["-" * width for width in widths]), *map(line, cells), count]
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _text(value).replace("\n", " ")


def _tsv(value: Any) -> str:
    return "\\N" if value is None else _text(value).translate(_ESCAPES)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)


def _json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return str(value)
