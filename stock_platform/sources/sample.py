"""The `sample` source: 12,154 real daily bars of five US shares that ship with `bokeh_sampledata`.

What lives here is only what is particular to that file; everything else is the `files` source. How
its splits and dividends were recovered and checked is told in docs/sample-data.md.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.sources.base import SourceError
from stock_platform.sources.files import FilesSource
from stock_platform.sources.files_config import Actions, BarColumns, FilesConfig
from stock_platform.universe import InstrumentEntry

if TYPE_CHECKING:
    from stock_platform.settings import Settings

PACKAGE = "bokeh_sampledata"

CALENDAR = "XNYS"
"""Nasdaq keeps the sessions of the New York Stock Exchange, so one calendar serves all five."""

_SHARES = (
    ("XNAS:AAPL", "AAPL", "Apple", "Information Technology"),
    ("XNAS:FB", "FB", "Facebook (now Meta Platforms)", "Communication Services"),
    ("XNAS:GOOG", "GOOG", "Google (now Alphabet)", "Communication Services"),
    ("XNAS:MSFT", "MSFT", "Microsoft", "Information Technology"),
    ("XNYS:IBM", "IBM", "IBM", "Information Technology"),
)


@cache
def _config() -> FilesConfig:
    """How the packaged file is to be read."""
    return FilesConfig(
        files=["stocks.csv.gz"],
        columns=BarColumns(
            symbol="Ticker",
            date="Date",
            open="Open",
            high="High",
            low="Low",
            close="Close",
            volume="Volume",
            adj_close="Adj Close",
        ),
        basis="traded",
        actions=Actions(recover_from="adj_close"),
        reinvested_at="ex_close",
        currency="USD",
        calendar=CALENDAR,
        instruments=[
            InstrumentEntry(instrument_id=i, symbol=symbol, name=name, sector=sector)
            for i, symbol, name, sector in _SHARES
        ],
    )


class SampleSource(FilesSource):
    """The packaged bars.

    Args:
        universe: instruments that replace the packaged list (a row of another is rejected).
    """

    def __init__(self, universe: Path | None = None) -> None:
        super().__init__(_folder(), _config(), name="sample", universe_file=universe)

    def fingerprint(self) -> str:
        """Digest of the package's version and of how its file is read, not of where it lies."""
        universe = self.universe_file.read_text() if self.universe_file else ""
        text = repr((self.name, version(PACKAGE), self.config.model_dump_json(), universe))
        return hashlib.sha256(text.encode()).hexdigest()


def from_settings(settings: Settings) -> SampleSource:
    """The packaged bars, or those of the universe that the settings name."""
    return SampleSource(universe=settings.universe)


def _folder() -> Path:
    spec = find_spec(PACKAGE)  # found, not imported: importing it imports bokeh
    if spec is None or spec.origin is None:
        raise SourceError(f"the package {PACKAGE} is not installed: run `make run` or install it")
    return Path(spec.origin).parent / "_data"
