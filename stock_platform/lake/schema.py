"""The frozen schema of the lake: every dataset's columns, key, and what counts as a change.

What lives here is what a row *is*. How rows are compared is `difference.py`, where they are stored
`paths.py`. A column is added here and nowhere else; the sink refuses anything that differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from stock_platform.errors import PlatformError

PROVISIONAL, FINAL = "provisional", "final"
ASSUMED, OBSERVED = "assumed", "observed"
UTC_MICROSECONDS = pl.Datetime("us", "UTC")

_WHAT: dict[str, pl.DataType] = {
    "instrument_id": pl.String(),
    "symbol": pl.String(),
    "session": pl.Date(),
}
_PROVENANCE: dict[str, pl.DataType] = {
    "currency": pl.String(),
    "source": pl.String(),
    "finality": pl.String(),
    "known_at": UTC_MICROSECONDS,
    "available_at": UTC_MICROSECONDS,
    "availability": pl.String(),
    "payload_digest": pl.String(),
}


@dataclass(frozen=True)
class Dataset:
    """One catalog table.

    Attributes:
        columns: every column and its polars type, in stored order; none may be null.
        key: the columns that name a row; one row per key and known_at.
        measured: float columns, the same when within a relative 1e-5 (re-basing rounds).
        stated: other columns whose change is a revision. `symbol` is none of them (a renamed ticker
            is a new validity row, not a new history), nor is `detail`, a sentence for people.
    """

    name: str
    columns: dict[str, pl.DataType]
    key: tuple[str, ...]
    measured: tuple[str, ...]
    stated: tuple[str, ...]

    @property
    def polars_schema(self) -> pl.Schema:
        """The columns as a polars schema: `pl.DataFrame(rows, schema=...)`."""
        return pl.Schema(self.columns)

    def empty(self) -> pl.DataFrame:
        """A frame without rows."""
        return pl.DataFrame(schema=self.polars_schema)


def _dataset(
    name: str,
    own: dict[str, pl.DataType],
    *,
    key: tuple[str, ...] = (),
    measured: tuple[str, ...] = (),
    stated: tuple[str, ...] = (),
) -> Dataset:
    return Dataset(
        name=name,
        columns={**_WHAT, **own, **_PROVENANCE},
        key=("source", "instrument_id", "session", *key),
        measured=measured,
        stated=(*stated, "currency"),
    )


EQUITY_PRICES = _dataset(
    "equity_prices",
    {name: pl.Float64() for name in ("open", "high", "low", "close", "volume")},
    measured=("open", "high", "low", "close", "volume"),
)
"""Daily bars as traded: prices in `currency` per share, volume in shares."""

CORPORATE_ACTIONS = _dataset(
    "corporate_actions",
    {"action": pl.String(), "value": pl.Float64()},
    key=("action",),
    measured=("value",),
)
"""`action` split (`value`: new shares per old), dividend or capital_gain (`value`: per share as
traded, in `currency`); `session` is the ex-date. One that was withdrawn is a later version that
changes nothing: a split of 1, a payment of 0."""

NO_EFFECT = {"split": 1.0, "dividend": 0.0, "capital_gain": 0.0}
"""The `value` of an action that was withdrawn."""

METAL_PRICES = _dataset(
    "metal_prices",
    {"metal": pl.String(), "buy": pl.Float64(), "sell": pl.Float64()},
    measured=("buy", "sell"),
    stated=("metal",),
)
"""Official prices of precious metals in `currency` per gram; `session` is the first day a price is
valid, not the day of the fixing it was made from. `metal` is an ISO 4217 code such as XAU."""

FX_RATES = _dataset(
    "fx_rates",
    {"quoted_currency": pl.String(), "nominal": pl.Float64(), "rate": pl.Float64()},
    measured=("nominal", "rate"),
    stated=("quoted_currency",),
)
"""Official rates: `rate` units of `currency` per ONE unit of `quoted_currency`; the bank quoted it
per `nominal` units. `session` is the first day the rate is valid."""

COVERAGE = _dataset(
    "coverage",
    {name: pl.String() for name in ("reason", "row_ref", "field", "value", "detail")},
    key=("row_ref",),
    stated=("reason", "field", "value"),
)
"""Why an expected bar is absent (`row_ref` '') or a row was quarantined ('file.csv:17')."""

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (EQUITY_PRICES, CORPORATE_ACTIONS, METAL_PRICES, FX_RATES, COVERAGE)
}

WRITTEN_IN_ORDER = ("corporate_actions", "coverage", "equity_prices", "metal_prices", "fx_rates")
"""The datasets as a load writes and registers them, one after the other: prices last.

A final price says that its session is done with, so nobody asks about it again. Whatever was told
together with it has to lie in the lake before; then a load that is killed anywhere leaves out only
what the next one still asks for."""


def withdrawn() -> pl.Expr:
    """Whether a row of `corporate_actions` says that there is no such action any more."""
    return pl.col("value") == pl.col("action").replace_strict(NO_EFFECT, default=None)


def dataset(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        PlatformError: there is none.
    """
    try:
        return DATASETS[name]
    except KeyError:
        raise PlatformError(
            f"the lake has no dataset {name!r}: it has {', '.join(DATASETS)}"
            " (a new one is added in stock_platform/lake/schema.py)"
        ) from None
