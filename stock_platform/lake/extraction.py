"""Runs a source's dlt pipeline into a function, under the frozen schema.

dlt extracts, enforces the contract and hands over Parquet files; it keeps no state that matters, so
every run starts from a clean working directory and a killed one leaves nothing to resume wrongly.
The lake's part, `receive`, is not run by dlt: the order of the datasets is ours to say.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.lake import frozen
from stock_platform.lake.schema import DATASETS, WRITTEN_IN_ORDER

if TYPE_CHECKING:
    from dlt.common.data_types import TDataType
    from dlt.common.schema.exceptions import DataValidationError
    from dlt.common.schema.typing import TTableSchema
    from dlt.pipeline.pipeline import Pipeline

_ENVIRONMENT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",  # its errors are raised too, and shown once, by us
    "DATA_WRITER__FILE_MAX_ITEMS": str(10**12),  # a day must not span two files
    "RESTORE_FROM_DESTINATION": "false",  # no state: nothing is kept, and its job costs a second
}
_TYPES: dict[pl.DataType, TDataType] = {
    pl.String(): "text",
    pl.Date(): "date",
    pl.Float64(): "double",
    pl.Datetime("us", "UTC"): "timestamp",
}
_CONTRACT = {"tables": "evolve", "columns": "freeze", "data_type": "freeze"}


class ExtractionError(PlatformError):
    """A source failed while it was extracted; the message names it and says what failed."""


def run(
    name: str, build: Callable[[], Any], directory: Path, receive: Callable[[str, str], None]
) -> None:
    """Extract the dlt source that `build` makes; call `receive(dataset, parquet_file)` per file,
    in the order of `WRITTEN_IN_ORDER`, when all has been extracted.

    `name` is the pipeline's, `directory/name` its working directory: one run at a time.

    Raises:
        PlatformError: what the source or `receive` raised.
        ContractError: the delivery breaks the frozen schema.
        ExtractionError: anything else that went wrong on the source's side.
    """
    # dlt reads its settings (no telemetry, for one) when it is first used, by a source too.
    with _environment():
        _run(name, build(), directory, receive)


def _run(name: str, source: Any, directory: Path, receive: Callable[[str, str], None]) -> None:
    import dlt
    from dlt.pipeline.exceptions import PipelineStepFailed

    # Only for what it says of the files. dlt's own load step has no order of its own, which
    # differs from run to run, and it would retry an error and then keep only its text.
    @dlt.destination(
        name="lake",
        batch_size=0,
        loader_file_format="parquet",
        naming_convention="direct",
        skip_dlt_columns_and_tables=True,
    )
    def lake(file: Any, table: TTableSchema, /) -> None:
        message = f"{table} went to dlt's load step: receive() takes {file} in its order"
        raise AssertionError(message)

    shutil.rmtree(directory / name, ignore_errors=True)
    _pin(source)
    pipeline = dlt.pipeline(
        name, pipelines_dir=str(directory), destination=lake, dataset_name="lake"
    )
    try:
        pipeline.extract(source)
        pipeline.normalize()
        files = _files(pipeline)
    except PipelineStepFailed as error:
        raise _told(name, error) from error
    finally:
        pipeline.deactivate()
    for dataset in sorted(files, key=_place):
        for file in files[dataset]:
            receive(dataset, file)


def _files(pipeline: Pipeline) -> dict[str, list[str]]:
    """The Parquet files of every table."""
    found: dict[str, list[str]] = {}
    for package in pipeline.list_normalized_load_packages():
        for job in pipeline.get_load_package_info(package).jobs["new_jobs"]:
            found.setdefault(job.job_file_info.table_name, []).append(job.file_path)
    return {table: sorted(paths) for table, paths in found.items() if not table.startswith("_dlt")}


def _place(dataset: str) -> int:
    """Where a dataset stands in `WRITTEN_IN_ORDER`; what is none comes first, to be refused."""
    return WRITTEN_IN_ORDER.index(dataset) if dataset in WRITTEN_IN_ORDER else -1


def _pin(source: Any) -> None:
    """Give the dlt source our schema: dlt takes what a *first* run brings for the schema, frozen
    contract or not, and every run here is a first one."""
    from dlt.common.schema.utils import new_table

    for shape in DATASETS.values():
        source.schema.update_table(
            new_table(
                shape.name,
                columns=[
                    {"name": name, "data_type": _TYPES[kind], "nullable": True}
                    for name, kind in shape.columns.items()
                ],
            )
        )
    source.schema_contract = _CONTRACT


def _told(name: str, error: Exception) -> Exception:
    """The cause inside dlt's wrapping, as an error for people."""
    from dlt.common.schema.exceptions import DataValidationError

    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for link in chain:
        if isinstance(link, PlatformError):
            return link
        if isinstance(link, DataValidationError):
            return _violation(link)
    root = chain[-1]
    return ExtractionError(f"source {name!r} failed: {type(root).__name__}: {root}")


def _violation(error: DataValidationError) -> PlatformError:
    table, column = error.table_name, str(error.column_name)
    if error.schema_entity == "data_type" and table in DATASETS:
        incoming = re.search(r"Incoming column: .*?'data_type': '(\w+)'", str(error))
        found = incoming[1] if incoming else "another type"
        return frozen.wrong_type(table, column, found, DATASETS[table].columns.get(column))
    return frozen.unknown_column(table, column)


@contextmanager
def _environment() -> Iterator[None]:
    """Configure dlt, which reads the environment, and leave that as it was."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
