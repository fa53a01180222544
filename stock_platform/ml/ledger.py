"""The two append-only tables Python writes: `forecasts` and `promotions`.

Rows are only ever added here. There is no statement that changes or removes one, and none may be
added: an accuracy record that can be edited is worth nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.serialise import digest_of

UTC_MICROSECONDS = "DateTime64(6, 'UTC')"
CATEGORY = "LowCardinality(String)"

FORECASTS: dict[str, str] = {
    "forecast_id": "String",
    "issued_at": UTC_MICROSECONDS,
    "kind": CATEGORY,
    "backtest_name": CATEGORY,
    "source": CATEGORY,
    "instrument_id": CATEGORY,
    "symbol": CATEGORY,
    "origin_session": "Date",
    "target_session": "Date",
    "horizon": "UInt8",
    "model_name": CATEGORY,
    "role": CATEGORY,
    "model_version": "UInt32",
    "model_digest": CATEGORY,
    "code_version": CATEGORY,
    "code_digest": CATEGORY,
    "input_digest": "String",
    "as_of": UTC_MICROSECONDS,
    "as_of_clock": CATEGORY,
    "lake_snapshot_ids": "String",
    "currency": CATEGORY,
    "origin_price": "Float64",
    **dict.fromkeys(COLUMN_NAMES, "Float64"),
    "mean": "Float64",
    "p_up": "Float64",
}
"""Column -> ClickHouse type. Prices are per share as of the origin, in `currency`."""

PROMOTIONS: dict[str, str] = {
    "decided_at": UTC_MICROSECONDS,
    "data_as_of": UTC_MICROSECONDS,
    "source": CATEGORY,
    "pool": CATEGORY,
    "action": CATEGORY,
    "model_name": CATEGORY,
    "model_version": "UInt32",
    "model_digest": "String",
    "challenger_name": CATEGORY,
    "challenger_version": "UInt32",
    "challenger_digest": "String",
    "previous_name": CATEGORY,
    "previous_version": "UInt32",
    "previous_digest": "String",
    "actor": "String",
    "reason": "String",
    "evidence": "String",
    "decision_id": "String",
}
"""`model_*` is the champion after the decision, `previous_*` before it; '' and 0 where there is
none. `evidence` is JSON."""

_POLARS: dict[str, Any] = {
    "String": pl.String,
    CATEGORY: pl.String,
    "Date": pl.Date,
    "UInt8": pl.UInt8,
    "UInt32": pl.UInt32,
    "Float64": pl.Float64,
    UTC_MICROSECONDS: pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Census:
    """How many rows a ledger held up to a moment, and an order-free fingerprint of their ids."""

    rows: int
    fingerprint: str


def create_tables(client: Any) -> None:
    """Create both ledgers if they are missing."""
    for table, columns, order in (
        ("forecasts", FORECASTS, "(source, kind, instrument_id, origin_session, horizon, role)"),
        ("promotions", PROMOTIONS, "(source, pool, data_as_of, decided_at)"),
    ):
        described = ", ".join(f"`{name}` {kind}" for name, kind in columns.items())
        client.command(
            f"CREATE TABLE IF NOT EXISTS market.{table} ({described}) ENGINE = MergeTree "
            f"ORDER BY {order} SETTINGS non_replicated_deduplication_window = 10000"
        )


def read(client: Any, sql: str, columns: dict[str, str], **parameters: Any) -> pl.DataFrame:
    """Rows of a query as polars, typed as the ledger's `columns` say.

    Times come as integers, so that no client guesses a zone.
    """
    rows = client.query(sql, parameters=parameters).result_rows
    frame = pl.DataFrame(rows, schema=list(columns), orient="row", infer_schema_length=None)
    return frame.with_columns(_typed(name, kind) for name, kind in columns.items())


def select_list(columns: dict[str, str]) -> str:
    """The columns for `read`, times as microseconds."""
    return ", ".join(
        f"toUnixTimestamp64Micro({name})" if kind == UTC_MICROSECONDS else name
        for name, kind in columns.items()
    )


def _typed(name: str, kind: str) -> pl.Expr:
    if kind == UTC_MICROSECONDS:
        return pl.col(name).cast(pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.col(name).cast(_POLARS[kind])


def write_forecasts(client: Any, frame: pl.DataFrame) -> int:
    """Add the forecasts that are not there yet; one insert per week of origins.

    A week's insert is one block: a killed run leaves whole weeks. Two runs that write the same
    week at once carry the same deduplication token, and the second changes nothing.

    Returns:
        How many of the frame's rows (columns of FORECASTS) were new when this call looked.

    Raises:
        PlatformError: rows that were in the ledger before are gone after.
    """
    create_tables(client)
    if frame.is_empty():
        return 0
    held = census(client, datetime.now(UTC))
    known = _known_ids(client, frame)
    new = frame.select(list(FORECASTS)).filter(~pl.col("forecast_id").is_in(list(known)))
    weeks = new.with_columns(week=pl.col("origin_session").dt.truncate("1w")).partition_by(
        "week", maintain_order=True, include_key=False
    )
    for rows in sorted(weeks, key=lambda part: str(part["origin_session"].min())):
        _insert(client, "market.forecasts", rows, "forecast_id", FORECASTS)
    _check_not_shrunk(held, census(client, datetime.now(UTC)))
    return new.height


def write_promotion(client: Any, row: dict[str, Any]) -> bool:
    """Add one decision unless a row with its `decision_id` is there. True when it was added."""
    create_tables(client)
    known = client.query(
        "SELECT count() FROM market.promotions WHERE decision_id = {id:String}",
        parameters={"id": row["decision_id"]},
    ).result_rows[0][0]
    if known:
        return False
    frame = pl.DataFrame([row]).select(_typed_literal(name, k) for name, k in PROMOTIONS.items())
    _insert(client, "market.promotions", frame, "decision_id", PROMOTIONS)
    return True


def _typed_literal(name: str, kind: str) -> pl.Expr:
    return pl.col(name).cast(_POLARS[kind])


def census(client: Any, until: datetime) -> Census:
    """Count and fingerprint of the forecasts issued before `until`.

    Kept with a run's metadata it shows later whether anything was removed or altered. A ledger that
    does not exist holds nothing.
    """
    if not client.query(
        "SELECT 1 FROM system.tables WHERE database = 'market' AND name = 'forecasts'"
    ).result_rows:
        return Census(0, "0")
    rows = client.query(
        "SELECT count(), toString(groupBitXor(sipHash64(*))) "
        "FROM market.forecasts WHERE issued_at < fromUnixTimestamp64Micro({at:Int64})",
        parameters={"at": int(until.timestamp() * 1e6)},
    ).result_rows
    return Census(int(rows[0][0]), str(rows[0][1]))


def check_append_only(client: Any, until: datetime, recorded: Census) -> None:
    """Compare the forecasts issued before `until` with what was recorded of them.

    Raises:
        PlatformError: rows are missing, altered or back-dated.
    """
    found = census(client, until)
    if found != recorded:
        raise PlatformError(
            f"the forecast ledger market.forecasts was altered: {recorded.rows} rows issued before "
            f"{until:%Y-%m-%d %H:%M:%S} are now {found.rows} (fingerprint {recorded.fingerprint} "
            f"-> {found.fingerprint}); restore the warehouse from a backup"
        )


def _check_not_shrunk(before: Census, after: Census) -> None:
    """Raise when rows are gone; another run may add at the same time, so look no further."""
    if after.rows < before.rows:
        raise PlatformError(
            f"the forecast ledger shrank from {before.rows} to {after.rows} rows during a write: "
            f"restore market.forecasts from a backup"
        )


def _known_ids(client: Any, frame: pl.DataFrame) -> set[str]:
    first, last = frame["origin_session"].min(), frame["origin_session"].max()
    rows = client.query(
        "SELECT forecast_id FROM market.forecasts WHERE source IN {sources:Array(String)} "
        "AND origin_session BETWEEN {first:Date} AND {last:Date}",
        parameters={
            "sources": frame["source"].unique().to_list(),
            "first": first,
            "last": last,
        },
    ).result_rows
    return {row[0] for row in rows}


def _insert(
    client: Any, table: str, frame: pl.DataFrame, key: str, columns: dict[str, str]
) -> None:
    ordered = frame.select(list(columns)).sort(key)
    client.insert_arrow(
        table,
        ordered.to_arrow(compat_level=pl.CompatLevel.oldest()),
        settings={"insert_deduplication_token": digest_of(*ordered[key].to_list())},
    )
