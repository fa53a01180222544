"""The `files` source: a folder of CSV or Parquet files that a user brings, mapped by `files.yaml`.

What lives here answers as a `Source` from what was loaded. What does not: loading
(`files_load.py`) and the shape of `files.yaml` (`files_config.py`). Guide: docs/files-source.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from stock_platform import universe
from stock_platform.marked_yaml import load_model
from stock_platform.sources import base, files_coverage, files_load, files_reading
from stock_platform.sources.base import Extract, SourceError
from stock_platform.sources.files_config import CONFIG_NAME, FilesConfig
from stock_platform.universe import Instrument
from stock_platform.universe_checks import BY_SYMBOL

if TYPE_CHECKING:
    from stock_platform.settings import Settings

ROWS_PER_CHUNK = 500_000


class FilesSource(base.Source):
    """Daily bars of a folder, which is read once, when first asked what is in it.

    Args:
        universe_file: instruments; they replace those that `config` lists.
    """

    live = False

    def __init__(
        self,
        folder: Path,
        config: FilesConfig,
        *,
        name: str = "files",
        universe_file: Path | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.config = config
        in_folder = folder / config.universe if config.universe else None
        self.universe_file = universe_file or in_folder

    @classmethod
    def from_settings(cls, settings: Settings) -> FilesSource:
        """The folder that `STOCK_PLATFORM_FILES_PATH` names.

        Raises:
            PlatformError: it is not set, no folder, or its files.yaml is missing or wrong.
        """
        folder = settings.files_path
        if folder is None:
            raise SourceError(
                "STOCK_PLATFORM_FILES_PATH is not set: point it at the folder that holds files.yaml"
                " and the data (docs/files-source.md)"
            )
        files_reading.check_folder(folder)
        config = load_model(folder / CONFIG_NAME, FilesConfig)
        return cls(folder, config, universe_file=settings.universe)

    @property
    def publication_lag(self) -> timedelta:
        """A bar is due this long after its session's close."""
        return timedelta(hours=self.config.publication_lag_hours)

    def span(self) -> tuple[date, date]:
        """First and last session with a bar, good or rejected, that has begun by now.

        Of the rejected ones those count that were expected: their absence is to be told.
        """
        begun = pl.col("open_at") <= datetime.now(UTC)
        good = self._loaded.bars.filter(begun)["session"]
        if good.is_empty():
            raise SourceError(f"every row in {self.folder} lies in the future: mend its dates")
        told = [*good.unique(), *self._missed.filter(begun)["session"]]
        return min(told), max(told)

    def instruments(self) -> list[Instrument]:
        """The listed instruments, or one per symbol; what is not said is filled from the bars."""
        return self._loaded.instruments

    def fingerprint(self) -> str:
        """Digest of the mapping and of names, sizes and change times of every file it reads."""
        config = self.config
        paths = files_reading.bar_files(self.folder, config)
        if config.actions and config.actions.file:
            paths.append(self.folder / config.actions.file)
        if self.universe_file:
            paths.append(self.universe_file)
        stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p.exists()]
        text = repr((self.name, config.model_dump_json(), stats))
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self) -> str:
        """The universe can be read, and every file opens and has its columns; no row is read."""
        if self.universe_file:
            universe.load(self.universe_file)
        files = files_reading.check_files(self.folder, self.config)
        return f"{self.folder}: {_count(len(files), 'file')}, columns as named"

    def notes(self) -> list[str]:
        """How many rows of the folder were kept out, if any."""
        rejected = files_coverage.quarantined(self._loaded, datetime.now(UTC)).height
        duplicates = self._loaded.duplicates
        found = []
        if rejected:
            found.append(f"{_count(rejected, 'row')} rejected (listed in coverage)")
        if duplicates:
            found.append(f"{_count(duplicates, 'duplicate row')} left out")
        return found

    def extract(self, first: date, last: date, known_at: datetime) -> Extract:
        """Bars, actions and coverage of the sessions from `first` to `last`.

        Rejected rows that belong to no session of the span, because they have no usable date or
        symbol or lie outside it, stand under its last session.
        """
        return self._extract(first, last, known_at, duplicates=self._loaded.duplicates)

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
        """The same in ranges of whole sessions of about `ROWS_PER_CHUNK` rows."""
        days = max(1, ROWS_PER_CHUNK // max(1, len(self.instruments())))
        for start, end in base.split_range(first, last, days):
            duplicates = self._loaded.duplicates if start == first else 0
            yield self._extract(start, end, known_at, duplicates=duplicates)

    @cached_property
    def _loaded(self) -> files_load.Loaded:
        listed = self.config.instruments
        if self.universe_file:
            listed = universe.load_entries(self.universe_file)
        return files_load.load(self.folder, self.config, listed, datetime.now(UTC))

    @cached_property
    def _missed(self) -> pl.DataFrame:
        return files_coverage.missed(self._loaded)

    def _expected(self, first: date, last: date) -> pl.DataFrame:
        start, end = self.span()
        return base.expected(self.instruments(), max(first, start), min(last, end), BY_SYMBOL)

    def _extract(self, first: date, last: date, known_at: datetime, *, duplicates: int) -> Extract:
        loaded, lag = self._loaded, self.publication_lag
        digests = loaded.files.select("file", pl.col("digest").alias("payload_digest")).lazy()
        begun = pl.col("open_at") <= known_at
        inside = pl.col("session").is_between(first, last)
        bars = loaded.bars.lazy().filter(inside, begun)
        actions = loaded.actions.lazy().filter(inside, begun)
        due = pl.col("close_at") + lag
        tables: dict[str, pl.LazyFrame] = {
            "equity_prices": bars.join(digests, on="file").with_columns(
                *base.availability(due, known_at), base.finality(due, known_at)
            ),
            "corporate_actions": actions.join(digests, on="file").with_columns(
                *base.availability(pl.col("open_at"), known_at), finality=pl.lit("final")
            ),
            "coverage": files_coverage.coverage(
                loaded,
                self._expected(first, last),
                lag,
                known_at,
                span=self.span(),
                between=(first, last),
            ).lazy(),
        }
        origin = [pl.lit(self.name).alias("source"), pl.lit(known_at).alias("known_at")]
        return Extract(
            {name: base.conform(name, t.with_columns(origin)) for name, t in tables.items()},
            duplicates=duplicates,
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


from_settings = FilesSource.from_settings
