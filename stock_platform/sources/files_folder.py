"""The files of one folder, read one by one and their rows judged.

What lives here ties reading (`files_reading.py`) and judging (`files_rows.py`) together for bars
and for corporate actions. What does not: what the rows mean (`files_load.py`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from stock_platform import calendars
from stock_platform.sources import basis, files_reading, files_rows
from stock_platform.sources.base import SourceError
from stock_platform.sources.files_config import Actions, FilesConfig
from stock_platform.sources.files_rows import Check, Judged
from stock_platform.universe import InstrumentEntry
from stock_platform.universe_checks import BY_SYMBOL, holdings

BAR_NUMBERS = ("open", "high", "low", "close", "volume")
ACTION_NAMES = ("split", "dividend", "capital_gain")


class Folder:
    """Reads and judges files, and numbers them as it goes.

    Args:
        listed: the instruments a row may belong to, with everything but `first_session` filled in;
            None: every symbol is one.
    """

    def __init__(
        self, folder: Path, config: FilesConfig, listed: list[InstrumentEntry] | None
    ) -> None:
        self.folder, self.config = folder, config
        self.paths: list[Path] = []
        self.digests: list[str] = []
        codes = {config.calendar, *[i.calendar for i in listed or [] if i.calendar]}
        self.bounds = {code: calendars.bounds(code) for code in codes}
        self.sessions = pl.concat(
            calendars.session_table(code, *self.bounds[code]) for code in sorted(codes)
        ).drop("session_number")
        self.listed = None if listed is None else _frame(listed)

    def bars(self) -> Judged:
        """Every bar of every file.

        Raises:
            SourceError: a whole file is unusable or empty, or there is none.
        """
        columns = self.config.columns.named
        numbers = (*BAR_NUMBERS, *(["adj_close"] if "adj_close" in columns else []))
        checks = files_rows.bar_checks(with_adj_close="adj_close" in columns)
        parts = []
        for path in files_reading.bar_files(self.folder, self.config):
            named = {} if "symbol" in columns else {"symbol": pl.lit(path.name.split(".")[0])}
            part = self._judged(
                path,
                columns,
                self.config.date_format,
                checks=checks,
                numbers=numbers,
                replaced=named,
            )
            if part.good.is_empty() and part.rejected.is_empty():
                raise SourceError(f"{path.name} has no rows: fill it or take it out of `files`")
            parts.append(part)
        together = Judged(pl.concat(p.good for p in parts), pl.concat(p.rejected for p in parts))
        return files_rows.without_duplicates(together, basis.KEY, numbers, self.names)

    def actions(self, config: Actions) -> Judged:
        """Every row of the actions file.

        Raises:
            SourceError: it does not exist or is unusable. A header without rows is fine.
        """
        path = files_reading.actions_file(self.folder, config)
        checks = [
            Check(
                "action",
                ~pl.col("action").is_in(ACTION_NAMES),
                pl.lit(f"not one of {', '.join(ACTION_NAMES)}"),
            ),
            files_rows.number_check("value"),
            Check("value", pl.col("value_") <= 0, pl.lit("must be above 0")),
        ]
        lower = {"action": pl.col("action").str.to_lowercase()}
        judged = self._judged(
            path,
            config.columns.model_dump(),
            config.date_format,
            checks=checks,
            numbers=("value",),
            replaced=lower,
        )
        key = (*basis.KEY, "action")
        return files_rows.without_duplicates(judged, key, ("value",), self.names)

    @property
    def names(self) -> list[str]:
        """Of the files read so far, by number."""
        return [path.name for path in self.paths]

    def described(self) -> pl.DataFrame:
        """The files read so far: file (number), name, digest, arrived (UTC day of its last change).

        That day is when its undated rows were ingested, whenever they are loaded again.
        """
        arrived = [datetime.fromtimestamp(p.stat().st_mtime, UTC).date() for p in self.paths]
        return pl.DataFrame(
            {
                "file": range(len(self.paths)),
                "name": self.names,
                "digest": self.digests,
                "arrived": arrived,
            },
            schema_overrides={"file": pl.Int32, "arrived": pl.Date},
        )

    def nothing_usable(self, rejected: pl.DataFrame) -> str:
        """The message for a folder of which every row is rejected."""
        row = rejected.sort("file", "row").row(0, named=True)
        return (
            f"{self.folder} has no usable row, all {rejected.height} are rejected; the first is "
            f"{self.names[row['file']]}:{row['row']}: {row['field']} {row['value']!r}: "
            f"{row['detail']}; mend files.yaml or the files"
        )

    def _judged(
        self,
        path: Path,
        columns: dict[str, str],
        date_format: str,
        *,
        checks: list[Check],
        numbers: tuple[str, ...],
        replaced: dict[str, pl.Expr],
    ) -> Judged:
        """One file; `replaced` columns take the place of what was read."""
        config = self.config
        table = files_reading.read(
            path,
            columns,
            date_format=date_format,
            delimiter=config.delimiter,
            time_zone=calendars.time_zone(config.calendar),
        )
        self.paths.append(path)
        with files_reading.readable(path):
            self.digests.append(files_reading.digest_of(path))
        rows = table.rows.with_columns(
            pl.lit(len(self.paths) - 1, pl.Int32).alias("file"),
            pl.col("date").str.strptime(pl.Date, table.date_format, strict=False).alias("day"),
            **replaced,
        )
        located = files_rows.locate(
            rows, self.listed, self.sessions, calendar=config.calendar, currency=config.currency
        )
        places = files_rows.where_checks(self.bounds, table.date_format)
        with files_reading.readable(path):
            return files_rows.judge(located, [*places, *checks], numbers)


def _frame(listed: list[InstrumentEntry]) -> pl.DataFrame:
    """One row per symbol and the time in which it means one instrument (`files_rows.locate`)."""
    held = holdings(listed, BY_SYMBOL)
    frame = pl.DataFrame(
        {
            "symbol": [h.symbol for h in held],
            **{
                name: [getattr(listed[h.number], name) for h in held]
                for name in ("instrument_id", "calendar", "currency")
            },
            "first_session": [None if h.first == date.min else h.first for h in held],
            "last_session": [None if h.last == date.max else h.last for h in held],
        },
        schema_overrides={"first_session": pl.Date, "last_session": pl.Date},
    )
    earlier = pl.col("symbol").cum_count().over("symbol") > 1
    return frame.with_columns(
        pl.when(earlier).then("first_session").alias("means_from"),
        pl.col("first_session").shift(-1).over("symbol").alias("means_until"),
    )
