from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from stock_platform.marked_yaml import load_model
from stock_platform.sources.base import Extract
from stock_platform.sources.files import FilesSource
from stock_platform.sources.files_config import FilesConfig
from tests.support.cbr_server import Bank, CbrServer
from tests.support.cbr_world import SESSIONS, Loads, Setup

NOW = datetime(2024, 6, 1, tzinfo=UTC)

HEADER = "symbol,date,open,high,low,close,volume"
GOOD = [
    "ABC,2024-01-02,10,11,9,10.5,1000",
    "ABC,2024-01-03,10.5,11,10,10.2,1100",
    "ABC,2024-01-04,10.2,10.4,10,10.1,900",
    "XYZ,2024-01-02,50,51,49,50.5,100",
    "XYZ,2024-01-03,50.5,51,50,50.2,110",
    "XYZ,2024-01-04,50.2,50.4,50,50.1,90",
]

Folder = Callable[..., FilesSource]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes files and files.yaml into a folder and opens it."""

    def make(
        rows: list[str] | None = None,
        *,
        files: dict[str, str | bytes] | None = None,
        header: str = HEADER,
        patterns: str | list[str] = "bars*",
        **config: Any,
    ) -> FilesSource:
        if files is None:
            files = {"bars.csv": "\n".join([header, *(GOOD if rows is None else rows)]) + "\n"}
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (tmp_path / name).write_bytes(data)
        columns = {c: c for c in HEADER.split(",")}
        mapping = {
            "files": patterns,
            "columns": columns,
            "basis": "traded",
            "currency": "USD",
            "calendar": "XNYS",
        } | config
        (tmp_path / "files.yaml").write_text(yaml.safe_dump(mapping))
        return FilesSource(tmp_path, load_model(tmp_path / "files.yaml", FilesConfig))

    return make


def everything(source: FilesSource, known_at: datetime = NOW) -> Extract:
    return source.extract(*source.span(), known_at)


def rejected(source: FilesSource, known_at: datetime = NOW) -> list[dict[str, Any]]:
    coverage = everything(source, known_at).tables["coverage"]
    return coverage.filter(pl.col("reason") == "rejected").sort("row_ref").to_dicts()


@pytest.fixture
def cbr_server() -> Iterator[CbrServer]:
    with CbrServer(Bank.of(SESSIONS)) as running:
        yield running


@pytest.fixture
def bank(cbr_server: CbrServer, tmp_path: Path) -> Setup:
    return Setup(cbr_server, tmp_path)


@pytest.fixture
def loads(bank: Setup, tmp_path: Path) -> Loads:
    return Loads(tmp_path / "home", bank)
