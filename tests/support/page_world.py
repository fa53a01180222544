"""A small market for the app: tables as the dbt contracts describe them, filled by a few rules.

Three shares of one calendar: AAA with a split, a gap and forecasts; NEW with too few bars; OLD
whose bars end a week before the others'.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import yaml

from stock_platform.ml.ledger import create_tables, write_forecasts
from stock_platform.ml.metrics import pinball
from stock_platform.ml.quantiles import COLUMN_NAMES, GAUSSIAN
from stock_platform.settings import PROJECT_ROOT

CALENDAR, SOURCE, BACKTEST = "XTST", "simulated", "simulated-test"
FIRST = date(2020, 1, 6)
SESSIONS = [FIRST + timedelta(7 * week + day) for week in range(62) for day in range(5)]
BARS = SESSIONS[:300]
"""The last two weeks are ahead."""
SPLIT, GAP = BARS[150], BARS[120]
STARTS = {"AAA": 0, "NEW": 260, "OLD": 0}
ENDS = {"AAA": 300, "NEW": 300, "OLD": 295}
VOLATILITY = 0.02


def contracts() -> dict[str, dict[str, str]]:
    """Model -> column -> ClickHouse type, of every dbt model that says so."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((PROJECT_ROOT / "dbt" / "models").rglob("*.yml")):
        for model in (yaml.safe_load(path.read_text()) or {}).get("models") or []:
            columns = {c["name"]: c["data_type"] for c in model.get("columns") or []}
            if columns:
                found[model["name"]] = columns
    return found


def create(client: Any) -> None:
    """Every mart, empty; `int_bars_as_of` as a view with dbt's signature; both ledgers."""
    create_tables(client)
    for name, columns in contracts().items():
        listed = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
        client.command(f"CREATE TABLE {name} ({listed}) ENGINE = MergeTree ORDER BY tuple()")
    client.command(
        "CREATE VIEW int_bars_as_of AS SELECT instrument_id, session, open, high, low, close,"
        " volume, split_factor, total_return_factor FROM int_daily_prices"
        " WHERE if({clock:String} = 'known_at', known_at, available_at)"
        " <= {as_of:DateTime64(6, 'UTC')}"
    )


def fill(client: Any) -> None:
    """Instruments, bars and everything that is made of them."""
    bars = prices()
    _insert(client, "dim_session", _sessions())
    _insert(client, "dim_instrument", _instruments())
    _insert(client, "int_daily_prices", bars)
    of_features = ["instrument_id", "symbol", "session"]
    features = bars.select(*of_features, history_sessions="bar_number", calendar=pl.lit(CALENDAR))
    _insert(client, "fct_features_daily", features.with_columns(feature_vol_250=pl.lit(0.02)))
    risk = features.select(*of_features, "calendar", volatility_22=pl.lit(0.3))
    _insert(client, "agg_volatility", risk.with_columns(drawdown_250=pl.lit(-0.1)))
    _insert(client, "agg_market_overview", _overview(bars))
    action = {"instrument_id": "TST:AAA", "symbol": "AAA", "session": SPLIT, "action": "split"}
    told = {"value": 2.0, "source": SOURCE}
    told |= dict.fromkeys(("available_at", "known_at"), _after(SPLIT))
    _insert(client, "stg_corporate_actions", pl.DataFrame([action | told]))
    _insert(
        client,
        "fct_corporate_actions",
        pl.DataFrame([action | told | {"unit": "new shares per old"}]),
    )
    reason = {"instrument_id": "TST:AAA", "session": GAP, "reason": "provider_missing"}
    _insert(client, "stg_coverage", pl.DataFrame([reason | {"source": SOURCE, "row_ref": ""}]))


def forecast(client: Any) -> None:
    """Forecasts of AAA by the random walk and one somewhat narrower, their scores, a promotion."""
    ledger = ledger_rows()
    write_forecasts(client, ledger)
    scored = scores(ledger)
    _insert(client, "fct_forecast_accuracy", scored)
    key = {"kind": "backtest", "backtest_name": BACKTEST}
    weekly = scored.group_by(week=pl.col("origin_session").dt.truncate("1w")).agg(
        forecasts=pl.len().cast(pl.UInt64),
        first_origin=pl.col("origin_session").min(),
        last_origin=pl.col("origin_session").max(),
    )
    named = [pl.lit(value).alias(name) for name, value in key.items()]
    _insert(client, "agg_accuracy_by_week", weekly.with_columns(named))
    models = pl.DataFrame([key | {"model_name": "ewma", "forecasts": scored.height}])
    _insert(client, "agg_accuracy_by_model", models.cast({"forecasts": pl.UInt64}))
    evidence = (
        '{"candidates": {"random_walk": {"skill": 0.0, "skill_t": 0.0}, "ewma": {"skill": 0.02,'
        ' "skill_t": 2.0}}, "weeks": 104, "rows": 104, "first_week": "2018-01-01",'
        ' "last_week": "2019-12-30", "challenger": "ewma", "threshold_t": 1.645, "against":'
        ' {"random_walk": {"improvement": 0.02, "t": 2.0, "diebold_mariano_p": 0.02}}}'
    )
    decisions = [
        ("random_walk_calibrated", "initial", "first decision", "{}", BARS[0]),
        ("ewma", "promote", "ewma beats both", evidence, BARS[50]),
    ]
    _insert(
        client,
        "promotions",
        pl.DataFrame(
            [
                {
                    "decided_at": _after(BARS[-1]),
                    "data_as_of": _after(day),
                    "source": SOURCE,
                    "pool": "equity",
                    "action": action,
                    "model_name": name,
                    "model_version": 1,
                    "model_digest": f"digest of {name}",
                    "actor": "a test",
                    "reason": reason,
                    "evidence": why,
                    "decision_id": f"decision {name}",
                }
                for name, action, reason, why, day in decisions
            ]
        ).cast({"model_version": pl.UInt32}),
    )


@cache
def prices() -> pl.DataFrame:
    """Bars of `int_daily_prices`."""
    parts = []
    for seed, (symbol, start) in enumerate(STARTS.items()):
        days = [day for day in BARS[start : ENDS[symbol]] if (symbol, day) != ("AAA", GAP)]
        steps = np.random.default_rng(seed).normal(0, VOLATILITY, len(days))
        index = 100 * np.exp(np.cumsum(steps))
        ratio = np.where((np.array(days) >= SPLIT) & (symbol == "AAA"), 2.0, 1.0)
        close = index / ratio
        parts.append(
            pl.DataFrame(
                {
                    "instrument_id": f"TST:{symbol}",
                    "symbol": symbol,
                    "session": days,
                    **dict.fromkeys(("open", "high", "low", "close"), close),
                    "volume": 1000.0,
                    "currency": "USD",
                    "source": SOURCE,
                    "known_at": datetime(2030, 1, 1, tzinfo=UTC),
                    "available_at": [_after(day) for day in days],
                    "bar_number": np.arange(1, len(days) + 1, dtype=np.uint32),
                    "split_factor": ratio,
                    "total_return_factor": ratio,
                    "log_return": [None, *steps[1:].tolist()],
                }
            )
        )
    return pl.concat(parts)


@contextmanager
def emptied(client: Any, *tables: str) -> Iterator[None]:
    """The market without the rows of some tables."""
    with missing(client, *tables):
        for table in tables:
            client.command(f"CREATE TABLE {table} AS kept_{table}")
        try:
            yield
        finally:
            for table in tables:
                client.command(f"DROP TABLE {table}")


@contextmanager
def missing(client: Any, *tables: str) -> Iterator[None]:
    """The market without some tables."""
    for table in tables:
        client.command(f"RENAME TABLE {table} TO kept_{table}")
    try:
        yield
    finally:
        for table in tables:
            client.command(f"RENAME TABLE kept_{table} TO {table}")


def ledger_rows() -> pl.DataFrame:
    """The ledger: AAA from the 20th week on, five horizons, champion and baseline."""
    bars = prices().filter(pl.col("symbol") == "AAA")
    close = dict(zip(bars["session"], bars["close"], strict=True))
    rows = []
    for place in range(99, 300, 5):
        for role, name, factor in (("champion", "ewma", 0.9), ("baseline", "random_walk", 1.0)):
            for horizon in range(1, 6):
                spread = factor * VOLATILITY * horizon**0.5
                quantiles = close[BARS[place]] * np.exp(spread * GAUSSIAN)
                rows.append(
                    {
                        "forecast_id": f"{role} {place} {horizon}",
                        "issued_at": datetime(2030, 1, 1, tzinfo=UTC),
                        "as_of": _after(BARS[place]),
                        "kind": "backtest",
                        "backtest_name": BACKTEST,
                        "source": SOURCE,
                        "instrument_id": "TST:AAA",
                        "symbol": "AAA",
                        "origin_session": BARS[place],
                        "target_session": SESSIONS[place + horizon],
                        "horizon": horizon,
                        "model_name": name,
                        "role": role,
                        "model_version": 1,
                        "currency": "USD",
                        "origin_price": close[BARS[place]],
                        **dict(zip(COLUMN_NAMES, quantiles.tolist(), strict=True)),
                        "mean": close[BARS[place]],
                        "p_up": 0.5,
                        **dict.fromkeys(
                            ("code_version", "code_digest", "input_digest", "lake_snapshot_ids"), ""
                        ),
                        "model_digest": f"digest of {name}",
                        "as_of_clock": "available_at",
                    }
                )
    return pl.DataFrame(rows).cast({"horizon": pl.UInt8, "model_version": pl.UInt32})


def scores(ledger: pl.DataFrame) -> pl.DataFrame:
    """What `fct_forecast_accuracy` says of the matured ones."""
    bars = prices().filter(pl.col("symbol") == "AAA")
    key = ["origin_session", "horizon"]
    target = bars.select(target_session="session", close="close", after="split_factor")
    origin = bars.select(origin_session="session", before="split_factor")
    both = ledger.join(target, on="target_session").join(origin, on="origin_session")
    both = both.with_columns(actual=pl.col("close") * pl.col("after") / pl.col("before"))
    both = both.with_columns(
        loss=pl.Series(
            pinball(
                (both["actual"] / both["origin_price"]).to_numpy(),
                both.select(pl.col(COLUMN_NAMES) / pl.col("origin_price")).to_numpy(),
            )
        ),
        absolute=(pl.col("q50") - pl.col("actual")).abs(),
    )
    base = both.filter(pl.col("role") == "baseline").select(
        *key, baseline_pinball_loss="loss", baseline_absolute_error="absolute"
    )
    inside = [
        pl.col("actual").is_between(low, high).alias(f"is_inside_{percent}")
        for percent, low, high in ((50, "q25", "q75"), (80, "q10", "q90"), (95, "q025", "q975"))
    ]
    kept = ["forecast_id", "kind", "backtest_name", "instrument_id", "symbol", "target_session"]
    return (
        both.filter(pl.col("role") == "champion")
        .join(base, on=key)
        .select(
            *kept,
            *key,
            *("model_name", "origin_price", "actual", "p_up"),
            *inside,
            is_up=pl.col("actual") > pl.col("origin_price"),
            median="q50",
            absolute_error="absolute",
            absolute_percentage_error=100 * pl.col("absolute") / pl.col("actual"),
            pinball_loss="loss",
            baseline_absolute_error="baseline_absolute_error",
            baseline_pinball_loss="baseline_pinball_loss",
        )
    )


def _after(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 22, tzinfo=UTC)


def _sessions() -> pl.DataFrame:
    return pl.DataFrame({"session": SESSIONS}).with_columns(
        calendar=pl.lit(CALENDAR),
        close_at=pl.Series([_after(day) for day in SESSIONS]),
        week=pl.col("session").dt.truncate("1w"),
        is_last_of_week=pl.col("session").dt.weekday() == 5,
    )


def _instruments() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "instrument_id": f"TST:{symbol}",
                "symbol": symbol,
                "name": f"{symbol} Limited",
                "asset_class": "equity",
                "calendar": CALENDAR,
                "currency": "USD",
                "sector": "Industrials",
                "first_session": BARS[start],
            }
            for symbol, start in STARTS.items()
        ]
    )


def _overview(bars: pl.DataFrame) -> pl.DataFrame:
    change = pl.col("log_return").exp() - 1
    market = bars.group_by("session").agg(
        instruments=pl.len().cast(pl.UInt64),
        advances=(change > 0).sum().cast(pl.UInt64),
        declines=(change < 0).sum().cast(pl.UInt64),
        mean_return=change.mean(),
    )
    return pl.concat(
        market.with_columns(calendar=pl.lit(CALENDAR), sector=pl.lit(sector))
        for sector in ("", "Industrials")
    )


def _insert(client: Any, table: str, frame: pl.DataFrame) -> None:
    client.insert_arrow(table, frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
