"""Bars, actions and reasons of one answer with all the columns that the lake asks for.

What lives here says when each row was due, known and available. What does not: which rows there
are (`yahoo_tables.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from stock_platform.lake import schema
from stock_platform.sources import base
from stock_platform.sources.base import Extract
from stock_platform.sources.yahoo_ask import NAME, Ask
from stock_platform.sources.yahoo_client import Answer
from stock_platform.sources.yahoo_rows import NUMBERS, Judged


@dataclass(frozen=True)
class Delivery:
    """What the rows of one answer have in common.

    Attributes:
        ask: what was asked.
        answer: what came; None: nobody could be asked, or nothing was to be asked.
        known_at: of the load.
        moment: when the answer was made, or when the load began if that was earlier.
        lag: a bar is due this long after its session's close.
    """

    ask: Ask
    answer: Answer | None
    known_at: datetime
    moment: datetime
    lag: timedelta

    @property
    def due(self) -> pl.Expr:
        """When the bar of a row's session is due."""
        return pl.col("close_at") + self.lag

    def extract(
        self,
        bars: pl.DataFrame | None,
        actions: pl.DataFrame | None,
        reasons: pl.DataFrame,
        judged: Judged | None = None,
    ) -> Extract:
        """Bars, actions and reasons as tables of the lake; None: there are none."""
        tables = {"coverage": self._coverage(reasons)}
        if bars is not None:
            tables["equity_prices"] = self._conform(
                "equity_prices",
                bars.select("session", "symbol", "close_at", *NUMBERS).with_columns(
                    base.finality(self.due, self.moment),
                    *base.availability(self.due, self.known_at),
                ),
            )
        if actions is not None:
            tables["corporate_actions"] = self._conform(
                "corporate_actions",
                actions.join(self.ask.days, on="session").with_columns(
                    *base.availability(pl.col("open_at"), self.known_at),
                    finality=pl.lit(schema.FINAL),
                ),
            )
        for name in base.DATASETS:
            if name not in tables:
                tables[name] = schema.dataset(name).empty()
        return Extract(tables, duplicates=judged.duplicates if judged else 0)

    def _coverage(self, reasons: pl.DataFrame) -> pl.DataFrame:
        """Reasons as rows; what the lake knows is told again only of the load's own sessions."""
        if reasons.is_empty():
            return schema.COVERAGE.empty()
        told = ["session", "reason", "field", "value"]
        named = self.ask.days.filter("named")["session"].to_list()
        known = self.ask.reasons.select(*told, known=pl.lit(True))
        news = (
            reasons.join(known, on=told, how="left")
            .filter(
                pl.col("known").is_null()
                | (pl.col("row_ref") != "")
                | pl.col("session").is_in(named)
            )
            .drop("known")
        )
        one = self.ask.instrument
        expected = news.join(self.ask.days, on="session", how="left")
        # A quarantined row and a notice of delisting are of no expected session: our own
        # observation, made now.
        now = pl.lit(self.known_at)
        other = pl.col("close_at").is_null() | (pl.col("row_ref") != "")
        last_symbol = one.symbols[NAME][-1].symbol
        available, availability = base.availability(self.due, self.known_at)
        return self._conform(
            "coverage",
            expected.with_columns(
                pl.col("symbol").fill_null(last_symbol),
                pl.when(other)
                .then(pl.lit(schema.FINAL))
                .otherwise(base.finality(self.due, self.moment))
                .alias("finality"),
                pl.when(other).then(now).otherwise(available).alias("available_at"),
                pl.when(other)
                .then(pl.lit(schema.OBSERVED))
                .otherwise(availability)
                .alias("availability"),
            ),
        )

    def _conform(self, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
        one = self.ask.instrument
        return base.conform(
            dataset,
            frame.with_columns(
                pl.lit(one.instrument_id).alias("instrument_id"),
                pl.lit(one.currency).alias("currency"),
                pl.lit(NAME).alias("source"),
                pl.lit(self.known_at).alias("known_at"),
                pl.lit(self.answer.payload_digest if self.answer else "").alias("payload_digest"),
            ),
        )
