"""The columns that each dbt model promises: read from `dbt/models/**.yml`, without dbt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stock_platform.marked_yaml import load_plain
from stock_platform.settings import PROJECT_ROOT

MODELS = PROJECT_ROOT / "dbt" / "models"


@dataclass(frozen=True)
class Column:
    """A column of a contract."""

    data_type: str
    description: str

    @property
    def is_date(self) -> bool:
        """Whether it holds dates or times."""
        return "Date" in self.data_type


@dataclass(frozen=True)
class Model:
    """A dbt model with a contract."""

    description: str
    columns: dict[str, Column]


def models(folder: Path = MODELS) -> dict[str, Model]:
    """Name -> model, of every model that the YAML files describe."""
    found = {}
    for path in sorted(folder.rglob("*.yml")):
        for entry in (load_plain(path.read_text()) or {}).get("models", []):
            found[str(entry["name"])] = _model(entry)
    return found


def _model(entry: dict[str, Any]) -> Model:
    return Model(
        " ".join(str(entry.get("description", "")).split()),
        {
            str(column["name"]): Column(
                str(column.get("data_type", "")), str(column.get("description", ""))
            )
            for column in entry.get("columns", [])
        },
    )
