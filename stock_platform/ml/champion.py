"""Which model speaks at a time T: the last promotion row decided on data available by T.

The MLflow alias is a cache of this for live use; nothing that fills in a past week reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.ledger import (
    PROMOTIONS,
    create_tables,
    read,
    select_list,
    write_promotion,
)
from stock_platform.ml.serialise import canonical_json, digest_of

DECISION_ORDER = ["data_as_of", "decided_at", "decision_id"]


@dataclass(frozen=True)
class ModelRef:
    """A registered model: candidate name, MLflow version, digest of its parameters."""

    name: str = ""
    version: int = 0
    digest: str = ""


NO_MODEL = ModelRef()
NO_EVIDENCE = canonical_json({})
"""Of decisions by hand; the gate's always say on what they rest."""


def promotions(client: Any, source: str) -> pl.DataFrame:
    """Every decision of a source (columns of PROMOTIONS), in the order decisions take effect."""
    create_tables(client)
    frame = read(
        client,
        f"SELECT {select_list(PROMOTIONS)} FROM market.promotions "  # noqa: S608
        "WHERE source = {source:String}",
        PROMOTIONS,
        source=source,
    )
    return frame.sort(DECISION_ORDER)


def champion_in(decisions: pl.DataFrame, pool: str, as_of: datetime) -> ModelRef | None:
    """The champion of `pool` at `as_of`, or None when nothing had been decided by then."""
    rows = decisions.filter((pl.col("pool") == pool) & (pl.col("data_as_of") <= as_of))
    if rows.is_empty():
        return None
    last = rows.sort(DECISION_ORDER).row(-1, named=True)
    return ModelRef(last["model_name"], last["model_version"], last["model_digest"])


def decision_by_hand(decisions: pl.DataFrame, pool: str, data_as_of: datetime) -> str | None:
    """Who made the champion of `pool` it by hand, on exactly these data; None: nobody did.

    The gate decides on the same data again when other code trains that week anew; it must not
    overrule a person who has seen its decision and gone back.
    """
    on_same = decisions.filter((pl.col("pool") == pool) & (pl.col("data_as_of") == data_as_of))
    by_hand = on_same.filter(pl.col("evidence") == NO_EVIDENCE).sort(DECISION_ORDER)
    if by_hand.is_empty():
        return None
    last = by_hand.row(-1, named=True)
    champion = champion_in(decisions, pool, data_as_of)
    if champion is None or champion.digest != last["model_digest"]:
        return None
    return (
        f"{last['action']} to {last['model_name']} version {last['model_version']} by "
        f"{last['actor']} at {last['decided_at']:%Y-%m-%d %H:%M} UTC"
    )


def decide_by_hand(
    client: Any,
    source: str,
    pool: str,
    action: str,
    model: ModelRef,
    *,
    who: str,
    why: str,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Make `model` the champion from the next forecast on: `action` is promote or rollback.

    `at` is the data the decision rests on; by default everything the source's forecasts and
    decisions so far have read, so that earlier weeks keep their champion.

    Returns:
        The row written.

    Raises:
        PlatformError: no champion yet, `model` is champion already, or who or why is empty.
    """
    if not who.strip() or not why.strip():
        raise PlatformError("a decision needs who and why: pass --who NAME --why REASON")
    decisions = promotions(client, source).filter(pl.col("pool") == pool)
    if decisions.is_empty():
        raise PlatformError(f"pool {pool!r} of {source} has no champion yet: train it first")
    at = at or _known_so_far(client, source, decisions)
    current = champion_in(decisions, pool, at) or NO_MODEL
    if current.digest == model.digest:
        raise PlatformError(f"{model.name} version {model.version} is the champion already")
    row = promotion_row(
        decided_at=datetime.now(UTC),
        data_as_of=at,
        source=source,
        pool=pool,
        action=action,
        model=model,
        challenger=NO_MODEL,
        previous=current,
        actor=who,
        reason=why,
        evidence={},
    )
    write_promotion(client, row)
    return row


def previous_champion(decisions: pl.DataFrame, pool: str) -> ModelRef:
    """The champion before the current one: what a rollback returns to.

    Champions form a stack: a decision with another model lies on top, a rollback takes off what is
    above the model it returned to. So a second rollback goes one further back, never to the model
    just rolled back from.

    Raises:
        PlatformError: there is none below the current one.
    """
    held: list[ModelRef] = []
    for row in decisions.filter(pl.col("pool") == pool).sort(DECISION_ORDER).rows(named=True):
        model = ModelRef(row["model_name"], row["model_version"], row["model_digest"])
        digests = [below.digest for below in held]
        if row["action"] == "rollback" and model.digest in digests:
            while held[-1].digest != model.digest:
                held.pop()
        elif model.digest not in digests[-1:]:
            held.append(model)
    if not held:
        raise PlatformError(f"pool {pool!r} has no champion yet: train it first")
    if len(held) == 1:
        only = held[0]
        raise PlatformError(
            f"pool {pool!r} has nothing to go back to: {only.name} version {only.version} is its "
            "first champion; `stock-platform models promote` takes any version of `stock-platform "
            "models list`"
        )
    return held[-2]


def promotion_row(
    *,
    decided_at: datetime,
    data_as_of: datetime,
    source: str,
    pool: str,
    action: str,
    model: ModelRef,
    challenger: ModelRef,
    previous: ModelRef,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    decision_id: str = "",
) -> dict[str, Any]:
    """A row of `promotions`; without a `decision_id` it is unique by its time and content."""
    content = canonical_json([decided_at, data_as_of, source, pool, action, model, actor, reason])
    return {
        "decided_at": decided_at,
        "data_as_of": data_as_of,
        "source": source,
        "pool": pool,
        "action": action,
        **_named("model", model),
        **_named("challenger", challenger),
        **_named("previous", previous),
        "actor": actor,
        "reason": reason,
        "evidence": canonical_json(evidence),
        "decision_id": decision_id or digest_of("by hand", content)[:32],
    }


def _named(prefix: str, model: ModelRef) -> dict[str, Any]:
    return {
        f"{prefix}_name": model.name,
        f"{prefix}_version": model.version,
        f"{prefix}_digest": model.digest,
    }


def _known_so_far(client: Any, source: str, decisions: pl.DataFrame) -> datetime:
    columns = {"as_of": PROMOTIONS["data_as_of"]}
    latest = read(
        client,
        "SELECT toUnixTimestamp64Micro(max(as_of)) FROM market.forecasts "
        "WHERE source = {source:String}",
        columns,
        source=source,
    )["as_of"][0]
    decided: datetime = decisions["data_as_of"].max()  # type: ignore[assignment]
    return max(decided, latest) if latest else decided
