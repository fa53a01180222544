"""Reads CSV and Parquet files into frames of strings, one row per line, nothing judged yet.

What lives here: finding files, errors that concern a whole file. What does not: whether a row is
good (`files_rows.py`). A CSV line is one row, always: a stray quote can't swallow the lines after
it, a surplus comma can't shift values unseen, and row numbers are line numbers.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from stock_platform import calendars
from stock_platform.sources.base import SourceError
from stock_platform.sources.files_config import Actions, FilesConfig

CSV_SUFFIXES = (".csv", ".csv.gz", ".txt", ".txt.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Table:
    """One file, read.

    Attributes:
        rows: `row` (int64: line number counting the header for CSV, row number from 1 for Parquet),
            `malformed` (str, null when fine: what is wrong with the line), `line` (str, the line as
            printed, for CSV), and one string column per asked field; '' where there is nothing. Not
            yet read: collect them under `readable`.
        date_format: how the date field is written.
    """

    path: Path
    rows: pl.LazyFrame
    date_format: str


def check_folder(folder: Path) -> None:
    """Refuse what is no folder.

    Raises:
        SourceError: it does not exist or is something else.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise SourceError(
            f"{folder} {what}: point STOCK_PLATFORM_FILES_PATH at the folder that holds files.yaml"
        )


def bar_files(folder: Path, config: FilesConfig) -> list[Path]:
    """The files in `folder` that match `files`, by name, without the actions file.

    Raises:
        SourceError: the folder is none, nothing matches, or a match is neither CSV nor Parquet.
    """
    check_folder(folder)
    patterns = config.files
    actions = folder / config.actions.file if config.actions and config.actions.file else None
    matches = {p for pattern in patterns for p in folder.glob(pattern) if p.is_file()}
    paths = sorted(matches - {actions})
    if not paths:
        raise SourceError(
            f"no file in {folder} matches {' or '.join(patterns)}: mend `files` in files.yaml"
        )
    for path in paths:
        if not path.name.lower().endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
            raise SourceError(
                f"{path.name} is neither CSV nor Parquet by its name "
                f"({', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}): mend `files` in files.yaml"
            )
    return paths


def check_files(folder: Path, config: FilesConfig) -> list[Path]:
    """The files that files.yaml names: each opens and has its columns. No row is read.

    Raises:
        SourceError: one is missing, empty, broken or lacks a column.
    """
    paths = bar_files(folder, config)
    wanted = [(path, config.columns.named) for path in paths]
    if config.actions and config.actions.file:
        wanted.append((actions_file(folder, config.actions), config.actions.columns.model_dump()))
    for path, columns in wanted:
        read(
            path,
            columns,
            date_format=config.date_format,
            delimiter=config.delimiter,
            time_zone=calendars.time_zone(config.calendar),
        )
    return [path for path, _ in wanted]


def actions_file(folder: Path, actions: Actions) -> Path:
    """The file of splits and dividends.

    Raises:
        SourceError: it does not exist.
    """
    path = folder / (actions.file or "")
    if not path.is_file():
        raise SourceError(f"{path} does not exist: mend `actions.file` in files.yaml")
    return path


def read(
    path: Path, columns: dict[str, str], *, date_format: str, delimiter: str, time_zone: str
) -> Table:
    """The named columns of a file as strings.

    Args:
        path: a CSV or Parquet file, by its name.
        columns: field -> the file's column.
        date_format: of the date column, where it is text.
        delimiter: of CSV.
        time_zone: of the exchange; dates of Parquet timestamps with a zone are taken in it.

    Raises:
        SourceError: the file is empty, broken or lacks a column.
    """
    with readable(path):
        if path.stat().st_size == 0:
            raise SourceError(f"{path.name} is empty: fill it or take it out of `files`")
        if _is_parquet(path):
            rows, date_format = _parquet(path, columns, date_format, time_zone)
        else:
            rows = _csv(path, columns, delimiter)
        return Table(path, rows, date_format)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns whatever a broken file makes a reader raise into an error that names the file.

    Raises:
        SourceError: the file can't be read.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        kind = "Parquet" if _is_parquet(path) else "UTF-8 text"
        raise SourceError(
            f"{path.name} can't be read ({reason}): it is cut short or damaged, or not {kind}; "
            "write it again"
        ) from None


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def digest_of(path: Path) -> str:
    """A digest of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


def _check_columns(path: Path, wanted: dict[str, str], there: list[str]) -> None:
    for field, column in wanted.items():
        if there.count(column) != 1:
            what = "has no column" if column not in there else "has more than one column"
            raise SourceError(
                f"{path.name} {what} {column!r} (asked for as `{field}`): its columns are "
                f"{', '.join(there)}; mend `columns` in files.yaml"
            )


def _parquet(
    path: Path, columns: dict[str, str], date_format: str, time_zone: str
) -> tuple[pl.LazyFrame, str]:
    """Every value as a string: the shortest that reads back as the same number."""
    scan = pl.scan_parquet(path)
    schema = scan.collect_schema()
    _check_columns(path, columns, schema.names())
    exprs = {field: pl.col(column) for field, column in columns.items()}
    if "date" in columns:
        dtype = schema[columns["date"]]
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            exprs["date"] = exprs["date"].dt.convert_time_zone(time_zone)
        if dtype.is_temporal():
            exprs["date"], date_format = exprs["date"].dt.strftime("%Y-%m-%d"), "%Y-%m-%d"
    rows = scan.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("row"),
        pl.lit(None, pl.String).alias("malformed"),
        pl.lit("").alias("line"),
        *[e.cast(pl.String).fill_null("").alias(field) for field, e in exprs.items()],
    )
    return rows, date_format


def _csv(path: Path, columns: dict[str, str], delimiter: str) -> pl.LazyFrame:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        header = [c.strip() for c in next(csv.reader([file.readline()], delimiter=delimiter), [])]
    _check_columns(path, columns, header)
    lines = (
        pl.scan_lines(path, name="line", row_index_name="row", row_index_offset=1)
        .slice(1)
        .with_columns(pl.col("row").cast(pl.Int64), pl.col("line").str.strip_suffix("\r"))
        .filter(pl.col("line").str.strip_chars() != "")
    )
    names = [f"_{i}" for i in range(len(header))]
    surplus = pl.col("line").str.count_matches(delimiter, literal=True) + 1 != len(header)
    split = pl.col("line").str.split_exact(delimiter, len(header) - 1)
    plain = (
        lines.filter(~pl.col("line").str.contains('"', literal=True))
        .with_columns(
            pl.when(surplus)
            .then(
                pl.format(
                    "{} fields where the header has {}",
                    pl.col("line").str.count_matches(delimiter, literal=True) + 1,
                    pl.lit(len(header)),
                )
            )
            .alias("malformed"),
            split.struct.rename_fields(names).alias("parts"),
        )
        .unnest("parts")
        .select("line", "row", "malformed", *names)
    )
    quoted = lines.filter(pl.col("line").str.contains('"', literal=True)).collect()
    parsed = _quoted(quoted, names, delimiter).lazy()
    return pl.concat([plain, parsed]).select(
        "row",
        "malformed",
        "line",
        *[
            pl.col(f"_{header.index(column)}").str.strip_chars().fill_null("").alias(field)
            for field, column in columns.items()
        ],
    )


def _quoted(lines: pl.DataFrame, names: list[str], delimiter: str) -> pl.DataFrame:
    """Lines that hold a quote, parsed one by one."""
    parsed: list[list[str | None]] = []
    for line in lines["line"]:
        try:
            (fields,) = csv.reader([line], delimiter=delimiter, strict=True)
            problem = (
                None
                if len(fields) == len(names)
                else f"{len(fields)} fields where the header has {len(names)}"
            )
        except (csv.Error, ValueError):
            fields, problem = [], "a quote that is not closed on its line"
        padded = [*fields, *[""] * len(names)][: len(names)]
        parsed.append([problem, *padded])
    frame = pl.DataFrame(
        parsed, schema={"malformed": pl.String, **dict.fromkeys(names, pl.String)}, orient="row"
    )
    return pl.concat([lines, frame], how="horizontal").select("line", "row", "malformed", *names)
