"""Panels for the tests: the real packaged sample with the features of the warehouse's contract.

The features are computed here in polars, independently of dbt; the warehouse's own are compared
with the data, not with these.
"""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl

from stock_platform.calendars import session_table
from stock_platform.ml.candidates.base import Candidate
from stock_platform.ml.features import COLUMNS, Panel
from stock_platform.ml.walk_forward import refits_between, run_block
from stock_platform.ml.weeks import Weeks

SPLITS = {
    ("AAPL", date(2000, 6, 21)): 2.0,
    ("AAPL", date(2005, 2, 28)): 2.0,
    ("MSFT", date(2003, 2, 18)): 2.0,
}


@lru_cache(maxsize=1)
def weeks() -> Weeks:
    return Weeks(session_table("XNYS", date(2000, 1, 3), date(2014, 12, 31)))


@lru_cache(maxsize=1)
def sample_bars() -> pl.DataFrame:
    """The sample as traded: instrument_id, symbol, session, open..volume, split_factor."""
    import bokeh_sampledata

    path = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"
    bars = pl.read_csv(gzip.decompress(path.read_bytes()), try_parse_dates=True)
    bars = bars.select(
        instrument_id=pl.lit("TEST:") + pl.col("Ticker"),
        symbol="Ticker",
        session=pl.col("Date").cast(pl.Date),
        **{name: pl.col(name.title()).cast(pl.Float64) for name in BAR},
    )
    ratios = pl.DataFrame(
        [(s, d, r) for (s, d), r in SPLITS.items()],
        schema={"symbol": pl.String, "session": pl.Date, "ratio": pl.Float64},
        orient="row",
    )
    joined = bars.join(ratios, on=["symbol", "session"], how="left").sort("symbol", "session")
    return joined.with_columns(
        split_factor=pl.col("ratio").fill_null(1.0).cum_prod().over("symbol")
    ).drop("ratio")


BAR = ["open", "high", "low", "close", "volume"]


def features(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """The feature table's columns (see features.COLUMNS) from bars as traded."""
    ahead = session_table("XNYS", date(2000, 1, 3), date(2014, 12, 31))
    sessions = sessions.join(ahead.select("session", "days_ahead"), on="session")
    frame = bars.join(sessions, on="session").sort("instrument_id", "session")
    own = "instrument_id"
    log = pl.col("close") * pl.col("split_factor")
    frame = frame.with_columns(
        asset_class=pl.lit("equity"),
        currency=pl.lit("USD"),
        close_traded=pl.col("close"),
        price_index=log,
        history_sessions=pl.int_range(1, pl.len() + 1).over(own),
        available_at=pl.col("close_at") + timedelta(minutes=15),
        ret=log.log().diff().over(own),
        park=(pl.col("high") / pl.col("low")).log() ** 2 / (4 * np.log(2)),
        gk=0.5 * (pl.col("high") / pl.col("low")).log() ** 2
        - (2 * np.log(2) - 1) * (pl.col("close") / pl.col("open")).log() ** 2,
        size=(pl.col("volume") / pl.col("split_factor")).clip(1).log(),
        rs=(pl.col("high") / pl.col("close")).log() * (pl.col("high") / pl.col("open")).log()
        + (pl.col("low") / pl.col("close")).log() * (pl.col("low") / pl.col("open")).log(),
        next=pl.col("session") + pl.duration(days=pl.col("days_ahead")),
    )
    frame = frame.with_columns(
        r2=pl.col("ret") ** 2,
        n2=pl.when(pl.col("ret") < 0).then(pl.col("ret") ** 2).otherwise(0.0),
        p2=pl.when(pl.col("ret") > 0).then(pl.col("ret") ** 2).otherwise(0.0),
        o2=(pl.col("ret") + (pl.col("open") / pl.col("close")).log()) ** 2,
    ).with_columns(market=pl.col("r2").mean().over("session"))

    def root(name: str, window: int) -> pl.Expr:
        mean = pl.col(name).rolling_mean(window) if window > 1 else pl.col(name)
        return mean.over(own).clip(0).sqrt()

    return (
        frame.with_columns(
            *(root("r2", w).alias(f"feature_vol_{w}") for w in (1, 5, 22, 60, 250)),
            *(root("gk", w).alias(f"feature_gk_vol_{w}") for w in (5, 22, 60)),
            root("park", 22).alias("feature_parkinson_vol_22"),
            *(root("rs", w).alias(f"feature_rs_vol_{w}") for w in (5, 22)),
            root("o2", 22).alias("feature_overnight_vol_22"),
            root("n2", 22).alias("feature_neg_semivol_22"),
            root("p2", 22).alias("feature_pos_semivol_22"),
            root("market", 22).alias("feature_sector_vol_22"),
            root("market", 22).alias("feature_market_vol_22"),
            pl.col("r2")
            .ewm_mean(alpha=0.06, adjust=False, ignore_nulls=True, min_samples=22)
            .over(own)
            .sqrt()
            .alias("feature_ewma_vol"),
            *(log.log().diff(w).over(own).alias(f"feature_ret_{w}") for w in (1, 5, 22)),
            (pl.col("size") - pl.col("size").rolling_mean(60))
            .over(own)
            .alias("feature_volume_ratio"),
            feature_days_ahead=pl.col("days_ahead").cast(pl.Float64),
            feature_month_end=(pl.col("next").dt.month() != pl.col("session").dt.month()).cast(
                pl.Float64
            ),
        )
        .with_columns(
            (
                (pl.col(f"feature_{name}").rank("min") - 1)
                / (pl.col(f"feature_{name}").count() - 1).clip(1)
            )
            .over("session")
            .alias(f"feature_rank_{name}")
            for name in ("vol_22", "ret_5", "ret_22", "volume_ratio")
        )
        .select(COLUMNS)
    )


def panel_of(frame: pl.DataFrame) -> Panel:
    return Panel.build(frame, weeks())


def known_by(frame: pl.DataFrame, last: date) -> pl.DataFrame:
    """What is left of a frame of bars or features on `last`."""
    return frame.filter(pl.col("session") <= last)


@lru_cache(maxsize=1)
def sample_features() -> pl.DataFrame:
    return features(sample_bars(), weeks().sessions)


@lru_cache(maxsize=1)
def sample_panel() -> Panel:
    return panel_of(sample_features())


def walk_forward(
    panel: Panel, candidates: list[Candidate], first_week: date, last_week: date
) -> pl.DataFrame:
    """Out-of-sample forecasts of the weeks, put together from blocks as training does."""
    blocks = [run_block(panel, candidates, w) for w in refits_between(first_week, last_week)]
    rows = pl.concat([block.forecasts for block in blocks if block.forecasts.height])
    return rows.filter(pl.col("week").is_between(first_week, last_week))
