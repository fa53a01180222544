"""Ledger rows from a distribution: prices per share as of the origin, and the identities.

Pure: no warehouse, no registry. forecasting.py and reproduce.py both go through here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat

import numpy as np
import polars as pl

from stock_platform.ml.candidates import READ_HISTORY
from stock_platform.ml.candidates.base import Distribution
from stock_platform.ml.champion import ModelRef
from stock_platform.ml.code_digest import code_digest, code_version
from stock_platform.ml.features import COLUMNS, FEATURES, HORIZONS, Panel
from stock_platform.ml.history import WINDOW
from stock_platform.ml.ledger import FORECASTS
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.serialise import canonical_json, digest_of
from stock_platform.ml.weeks import Weeks

INPUT_COLUMNS = [name for name in COLUMNS if name not in ("symbol", "available_at")]
"""What identifies the input: not the ticker (it may change) and not when it came."""


@dataclass(frozen=True)
class Issue:
    """What the rows of one decision share."""

    source: str
    kind: str
    as_of: datetime
    clock: str
    issued_at: datetime
    snapshot_ids: str

    @property
    def backtest_name(self) -> str:
        """Live rows have none."""
        return "" if self.kind == "live" else backtest_name(self.source)


def backtest_name(source: str) -> str:
    """Name of the source's standing backtest by this code: source and start of the code's digest.

    Other code issues the same weeks again; under a name of its own its record stays apart, so that
    no score mixes two versions of the code.
    """
    return f"{source}-{code_digest()[:8]}"


def input_digests(rows: Panel, *, with_history: bool = False) -> list[str]:
    """Digest per row of everything a model reads of it (and the traded price).

    `with_history`: the daily volatilities up to the row too, for models that read them.
    """
    features = rows.frame.select(FEATURES).to_numpy().astype("<f4")
    keys = rows.frame.select(name for name in INPUT_COLUMNS if name not in FEATURES)
    return [
        digest_of(canonical_json(key), feature.tobytes(), *_wide_parts(rows, place), *past)
        for key, feature, place, past in zip(
            keys.iter_rows(),
            features,
            rows.wide_rows,
            _pasts(rows) if with_history else repeat([], len(rows)),
            strict=True,
        )
    ]


def _pasts(rows: Panel) -> Iterator[list[bytes]]:
    """What a univariate model reads of each row."""
    for name, session in rows.frame.select("instrument_id", "session").iter_rows():
        values = rows.history.until(name, session, WINDOW) if rows.history else np.empty(0)
        yield [values.astype("<f4").tobytes()]


def _wide_parts(rows: Panel, place: int) -> list[bytes]:
    """What a row has of the wide model's features: its own and its week's means."""
    if rows.wide is None or place < 0:
        return []
    means = rows.wide.mean[rows.wide.week[place]]
    return [rows.wide.x[place].astype("<f4").tobytes(), means.astype("<f8").tobytes()]


def forecast_rows(
    rows: Panel,
    distribution: Distribution,
    model: ModelRef,
    role: str,
    *,
    issue: Issue,
    weeks: Weeks,
) -> pl.DataFrame:
    """Rows of the ledger (columns FORECASTS) for the origins `rows`, five horizons each."""
    inputs = input_digests(rows, with_history=model.name in READ_HISTORY)
    code = code_digest()
    n, steps = len(rows), len(HORIZONS)
    price = np.repeat(rows.frame["close_traded"].to_numpy(), steps)
    quantiles = price[:, None] * np.exp(distribution.quantiles.reshape(n * steps, -1))
    origins = zip(rows.frame["calendar"], rows.frame["session"], strict=True)
    keys = rows.frame.select("instrument_id", "symbol", "currency", origin_session="session")
    each = np.repeat(np.arange(n), steps)
    frame = keys[each].with_columns(
        input_digest=pl.Series(inputs)[each],
        target_session=pl.Series(
            [weeks.target(calendar, day, h) for calendar, day in origins for h in HORIZONS]
        ),
        horizon=pl.Series(np.tile(HORIZONS, n)).cast(pl.UInt8),
        origin_price=pl.Series(price),
        mean=pl.Series(price * distribution.mean.reshape(-1)),
        p_up=pl.Series(distribution.p_up.reshape(-1)),
        issued_at=pl.lit(issue.issued_at, pl.Datetime("us", "UTC")),
        kind=pl.lit(issue.kind),
        backtest_name=pl.lit(issue.backtest_name),
        source=pl.lit(issue.source),
        model_name=pl.lit(model.name),
        role=pl.lit(role),
        model_version=pl.lit(model.version, pl.UInt32),
        model_digest=pl.lit(model.digest),
        code_version=pl.lit(code_version()),
        code_digest=pl.lit(code),
        as_of=pl.lit(issue.as_of, pl.Datetime("us", "UTC")),
        as_of_clock=pl.lit(issue.clock),
        lake_snapshot_ids=pl.lit(issue.snapshot_ids),
    )
    frame = frame.hstack(pl.DataFrame(quantiles, schema=COLUMN_NAMES))
    ids = [
        digest_of(
            issue.source, issue.kind, issue.backtest_name, role, model.digest, code, *map(str, key)
        )[:32]
        for key in frame.select(
            "input_digest", "instrument_id", "origin_session", "horizon"
        ).iter_rows()
    ]
    return frame.with_columns(forecast_id=pl.Series(ids)).select(list(FORECASTS))
