"""The `simulated` source: a deterministic, seeded market of any size, for scale and property tests.

What lives here answers as a `Source` for the market (`simulated_market.py`) as its provider told it
(`simulated_log.py`). Its prices mean nothing; that they behave like prices is tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from stock_platform import calendars
from stock_platform.lake import schema
from stock_platform.sources import base, simulated_log
from stock_platform.sources.base import Extract, SourceError
from stock_platform.sources.simulated_market import CALENDAR, Market, Year
from stock_platform.universe import Instrument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stock_platform.settings import Settings

NAME = "simulated"
EDITION = 1
"""Raised when the same parameters give other numbers than before."""

CURRENCY = "USD"
SECTORS = ("Energy", "Financials", "Health Care", "Industrials", "Information Technology")


class SimulatedSource(base.Source):
    """A simulated market.

    Args:
        count: instruments; start: its first session is on or after this day; years: its length.

    Raises:
        SourceError: its span would leave the calendar or reach into the future.
    """

    name = NAME
    live = False
    publication_lag = timedelta(hours=4)

    def __init__(self, *, count: int, start: date, years: int, seed: int) -> None:
        end = date(start.year + years, start.month, min(start.day, 28)) - timedelta(days=1)
        earliest, _ = calendars.bounds(CALENDAR)
        if start < earliest or end >= datetime.now(UTC).date():
            raise SourceError(
                f"the simulated market would run from {start} to {end}: it has to lie between "
                f"{earliest} and yesterday; set STOCK_PLATFORM_SIMULATED_START and "
                "STOCK_PLATFORM_SIMULATED_YEARS"
            )
        sessions = calendars.sessions(CALENDAR, start, end)
        self._sessions = sessions
        self.seed = seed
        self.market = Market(seed, count, sessions[0])

    @classmethod
    def from_settings(cls, settings: Settings) -> SimulatedSource:
        """The market that the `STOCK_PLATFORM_SIMULATED_*` settings describe.

        Raises:
            SourceError: they describe none, or a universe is set, which it can't follow.
        """
        if settings.universe is not None:
            raise SourceError(
                "STOCK_PLATFORM_UNIVERSE has no meaning for the simulated source: unset it, and "
                "set STOCK_PLATFORM_SIMULATED_INSTRUMENTS instead"
            )
        try:
            start = date.fromisoformat(settings.simulated_start)
        except ValueError:
            raise SourceError(
                f"STOCK_PLATFORM_SIMULATED_START={settings.simulated_start!r} is no date: "
                "write it as 2015-01-01"
            ) from None
        return cls(
            count=settings.simulated_instruments,
            start=start,
            years=settings.simulated_years,
            seed=settings.simulated_seed,
        )

    def span(self) -> tuple[date, date]:
        """First and last session."""
        return self._sessions[0], self._sessions[-1]

    def instruments(self) -> list[Instrument]:
        """All instruments; one delisted within the span has its last session."""
        return self._instruments

    def fingerprint(self) -> str:
        """Digest of the parameters."""
        return _digest(self.seed, self.market.count, *self.span())

    def check(self) -> str:
        """Its size; whatever could be wrong with it was told when it was made."""
        first, last = self.span()
        return f"{self.market.count} instruments, {first} to {last}"

    def chunks(self, first: date, last: date, known_at: datetime) -> Iterator[Extract]:
        """What the provider's log says of each calendar year at `known_at`."""
        start, end = self.span()
        first, last = max(first, start), min(last, end)
        for year in range(first.year, last.year + 1):
            between = max(first, date(year, 1, 1)), min(last, date(year, 12, 31))
            yield self._extract(year, between, known_at)

    @cached_property
    def _instruments(self) -> list[Instrument]:
        traits, days = self.market.traits, self._sessions
        # Another seed or start is another market: in one lake the two must not share an instrument.
        market = f"SIM-{self.seed}-{days[0]:%Y%m%d}"
        return [
            Instrument(
                instrument_id=f"{market}:S{i:05d}",
                symbol=f"S{i:05d}",
                name=f"Simulated share {i}",
                asset_class="equity",
                calendar=CALENDAR,
                currency=CURRENCY,
                sector=SECTORS[i % len(SECTORS)],
                first_session=days[int(traits.listed[i])],
                last_session=days[ended]
                if (ended := int(traits.delisted[i])) < len(days)
                else None,
            )
            for i in range(self.market.count)
        ]

    @cached_property
    def _names(self) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "instrument_id": [i.instrument_id for i in self._instruments],
                "symbol": [i.symbol for i in self._instruments],
            }
        )

    def _extract(self, number: int, between: tuple[date, date], known_at: datetime) -> Extract:
        import numpy as np

        year = self.market.year(number)
        hours = calendars.session_table(CALENDAR, year.sessions[0], year.sessions[-1])
        days = hours.with_columns((pl.col("close_at") + self.publication_lag).alias("due_at"))
        keep = days["session"].is_between(*between).to_numpy()
        begun = (days["open_at"] <= known_at).to_numpy() & keep
        said = simulated_log.said(year, days, known_at, begun)
        due = pl.col("due_at")
        told = days.with_columns(base.finality(due, known_at), *base.availability(due, known_at))
        opened = days.with_columns(
            *base.availability(pl.col("open_at"), known_at), finality=pl.lit(schema.FINAL)
        )
        bars = self._rows(told, said.session, said.instrument, known_at).with_columns(
            *[pl.Series(n, getattr(said, n)) for n in ("open", "high", "low", "close", "volume")],
            pl.Series("payload_digest", self._payloads).gather(said.version),
        )
        actions = []
        for action, values, none in (("split", year.split, 1), ("dividend", year.dividend, 0)):
            took_place = (values != none) & year.traded & begun[:, None]
            took_place &= year.numbers[:, None] > self.market.traits.listed
            at, who = np.nonzero(took_place)
            actions.append(
                self._rows(opened, at, who, known_at).with_columns(
                    pl.lit(action).alias("action"), pl.Series("value", values[at, who])
                )
            )
        reasons = self._reasons(year, said, told, begun, known_at)
        tables = {"equity_prices": bars, "corporate_actions": pl.concat(actions)}
        tables["coverage"] = reasons.with_columns(
            pl.lit("").alias(name) for name in ("row_ref", "field")
        )
        return Extract({name: base.conform(name, table) for name, table in tables.items()})

    def _reasons(
        self,
        year: Year,
        said: simulated_log.Said,
        told: pl.DataFrame,
        begun: NDArray[np.bool_],
        known_at: datetime,
    ) -> pl.DataFrame:
        """Why a bar is absent or not final, and one row for the first session after the last."""
        import numpy as np

        absent = year.traded & begun[:, None]
        absent[said.session, said.instrument] = said.version == simulated_log.PARTIAL
        at, who = np.nonzero(absent)
        early = pl.col("finality") == schema.PROVISIONAL
        missing = self._rows(told, at, who, known_at).with_columns(
            pl.when(early)
            .then(pl.lit("not_yet_final"))
            .otherwise(pl.lit("provider_missing"))
            .alias("reason"),
            pl.lit("").alias("value"),
            pl.when(early)
            .then(pl.lit("the session is not over, or its bar not yet due"))
            .otherwise(pl.lit("the provider has no bar for this session"))
            .alias("detail"),
        )
        gone = (year.numbers[:, None] == self.market.traits.delisted + 1) & begun[:, None]
        at, who = np.nonzero(gone)
        last = [str(self._instruments[i].last_session) for i in who]
        notices = self._rows(told, at, who, known_at).with_columns(
            pl.lit("delisted").alias("reason"),
            pl.Series("value", last, dtype=pl.String),
            pl.lit("delisting notice of the exchange, with the last session").alias("detail"),
        )
        return pl.concat([missing, notices])

    def _rows(
        self,
        days: pl.DataFrame,
        session: NDArray[np.int64],
        instrument: NDArray[np.int64],
        known_at: datetime,
    ) -> pl.DataFrame:
        """Rows of these sessions and instruments (by index), with the columns all share."""
        about = ("session", "finality", "available_at", "availability")
        return pl.concat(
            [self._names[instrument], days.select(about)[session]], how="horizontal"
        ).with_columns(
            pl.lit(CURRENCY).alias("currency"),
            pl.lit(NAME).alias("source"),
            pl.lit(known_at).alias("known_at"),
            pl.lit(self._payloads[simulated_log.FIRST_SAID]).alias("payload_digest"),
        )

    @cached_property
    def _payloads(self) -> list[str]:
        """A digest for each version of a bar; the same however long the span is."""
        versions = (simulated_log.FIRST_SAID, simulated_log.CORRECTED, simulated_log.PARTIAL)
        return [_digest(self.seed, self.span()[0], version)[:16] for version in versions]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr((EDITION, *parts)).encode()).hexdigest()


from_settings = SimulatedSource.from_settings
