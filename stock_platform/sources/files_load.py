"""Loads a folder of files once: bars as traded, corporate actions, and what had to be kept out.

What lives here brings judged rows to the traded basis. What does not: reading and judging
(`files_folder.py`), the arithmetic (`basis.py`), and what is told of it all (`files.py`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from stock_platform import universe
from stock_platform.sources import basis, files_reading
from stock_platform.sources.base import SourceError
from stock_platform.sources.files_config import FilesConfig
from stock_platform.sources.files_folder import BAR_NUMBERS, Folder
from stock_platform.universe import Instrument, InstrumentEntry


@dataclass(frozen=True)
class Loaded:
    """Everything the folder says, judged.

    Attributes:
        files: file (number), name, digest, arrived (UTC day of its last change).
        bars: instrument_id, symbol, currency, calendar, session, open_at, close_at, file, row, and
            OHLCV as traded.
        actions: the same with action and value instead of OHLCV.
        rejected_bars: `files_rows.REJECT_SCHEMA`.
        rejected_actions: likewise.
        duplicates: rows left out because another says the same.
        instruments: what the bars belong to.
        currency: of what belongs to no instrument.
    """

    files: pl.DataFrame
    bars: pl.DataFrame
    actions: pl.DataFrame
    rejected_bars: pl.DataFrame
    rejected_actions: pl.DataFrame
    duplicates: int
    instruments: list[Instrument]
    currency: str

    @property
    def digest(self) -> str:
        """A digest of all files together: what an absent bar was not found in."""
        return hashlib.sha256("".join(self.files["digest"]).encode()).hexdigest()[
            : files_reading.DIGEST_LENGTH
        ]


def load(
    folder: Path, config: FilesConfig, listed: list[InstrumentEntry] | None, now: datetime
) -> Loaded:
    """Read and judge every file of the folder.

    Args:
        folder: where the files are.
        config: its files.yaml.
        listed: the instruments a row may belong to; None: every symbol is one.
        now: splits with a later ex-date are not yet divided out of adjusted prices.

    Raises:
        SourceError: a whole file or the configuration is unusable, or no row is usable.
    """
    if listed is not None:
        listed = [_with_defaults(entry, config) for entry in listed]
        _check_ids(listed)
    reader = Folder(folder, config, listed)
    judged = reader.bars()
    if judged.good.is_empty():
        raise SourceError(reader.nothing_usable(judged.rejected))
    bars, duplicates, bad_actions = judged.good, judged.duplicates, judged.rejected.clear()
    actions = _no_actions(bars)
    if config.actions and config.actions.recover_from:
        actions = _as_rows(basis.recover_actions(bars, config.reinvested_at), bars)
    elif config.actions:
        given = reader.actions(config.actions)
        actions, bad_actions = given.good, given.rejected
        duplicates += given.duplicates
        bars, actions = _as_traded(bars, actions, config, now)
    return Loaded(
        files=reader.described(),
        bars=bars.drop("adj_close", strict=False),
        actions=actions,
        rejected_bars=judged.rejected,
        rejected_actions=bad_actions,
        duplicates=duplicates,
        instruments=_instruments(bars, listed),
        currency=config.currency,
    )


def _check_ids(listed: list[InstrumentEntry]) -> None:
    """Refuse two instruments that only got one id because neither, or one, says its own."""
    for one, times in Counter(entry.instrument_id for entry in listed).items():
        if times > 1:
            raise SourceError(
                f"{times} of the listed instruments would be {one!r}: give each an instrument_id "
                "of its own"
            )


def _with_defaults(entry: InstrumentEntry, config: FilesConfig) -> InstrumentEntry:
    """The entry with everything but `first_session` filled in."""
    calendar = entry.calendar or config.calendar
    return entry.model_copy(
        update={
            "instrument_id": entry.instrument_id or f"{calendar}:{entry.symbol}",
            "name": entry.name or entry.symbol,
            "calendar": calendar,
            "currency": entry.currency or config.currency,
        }
    )


def _as_traded(
    bars: pl.DataFrame, actions: pl.DataFrame, config: FilesConfig, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bars and dividends brought to the traded basis."""
    assert config.actions is not None
    through = config.adjusted_through or now.date()
    past = actions.filter(pl.col("session") <= through)
    splits = past.filter(pl.col("action") == "split")
    basis.check_basis(bars, splits, config.basis)
    per_share = config.actions.dividends or (
        "traded" if config.basis == "traded" else "split_adjusted"
    )
    if per_share == "split_adjusted":
        factored = basis.share_factor(actions, splits)
        paid = pl.when(pl.col("action") != "split").then("later_splits").otherwise(1.0)
        actions = factored.with_columns(pl.col("value") * paid).drop("later_splits")
        past = actions.filter(pl.col("session") <= through)
    if config.basis == "split_adjusted":
        bars = basis.from_split_adjusted(bars, splits)
    elif config.basis == "total_return":
        bars = basis.from_total_return(bars, past, config.reinvested_at)
    return bars, actions


def _as_rows(found: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Recovered actions as rows of the file whose bars told them."""
    return found.join(bars.drop("adj_close", *BAR_NUMBERS), on=basis.KEY)


def _no_actions(bars: pl.DataFrame) -> pl.DataFrame:
    return (
        bars.head(0)
        .drop("adj_close", *BAR_NUMBERS, strict=False)
        .with_columns(pl.lit("").alias("action"), pl.lit(0.0).alias("value"))
    )


def _instruments(bars: pl.DataFrame, listed: list[InstrumentEntry] | None) -> list[Instrument]:
    """The listed instruments, or one per symbol, ordered by id.

    What no list says starts with the first bar (one without bars with the first bar of all, so that
    its absence shows). Nobody is declared delisted because its rows end.
    """
    names = ("instrument_id", "symbol", "currency", "calendar")
    begun = bars.group_by(names).agg(pl.col("session").min())
    if listed is None:
        listed = [
            InstrumentEntry(**dict(zip(names, row, strict=True)))
            for row in begun.select(names).iter_rows()
        ]
    # of all its symbols: a renamed one began under the first
    firsts = dict(begun.group_by("instrument_id").agg(pl.col("session").min()).iter_rows())
    start = bars["session"].min()
    complete = [
        entry.model_copy(
            update={
                "name": entry.name or entry.symbol,
                "first_session": entry.first_session or firsts.get(entry.instrument_id, start),
            }
        )
        for entry in listed
    ]
    return sorted(universe.instruments(complete), key=lambda i: i.instrument_id)
