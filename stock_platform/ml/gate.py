"""G9: a challenger replaces the champion only if it beats it and the random walk out of sample.

All are scored again on the same rows; a comparison over different windows is an error, not a
decision. Writing the decision down is promotion work elsewhere (training.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates import BASELINE, INITIAL_CHAMPION
from stock_platform.ml.metrics import (
    diebold_mariano,
    newey_west_t,
    pinball,
    quantile_matrix,
    score,
    weekly_means,
)
from stock_platform.ml.walk_forward import ROW_KEYS

EVALUATION_WEEKS = 260
MIN_GATE_WEEKS = 104
"""Fewer matured weeks than this decide nothing."""
PROMOTION_T = 1.645
"""One-sided 5 % on the weekly loss difference, required against champion and baseline both."""

PLAUSIBLE_SKILL = 0.07
PLAUSIBLE_MAE = 0.97
"""Better than this a week ahead is a leak until shown otherwise: knowing the next week's volatility
exactly gives a skill of 8 %, and an honest median beats the walk's MAE by less than 1 %.
"""


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        champion: speaks from now on: as fitted by this refit, or with `as_fitted` as it was before.
        evidence: JSON-ready.
    """

    action: str
    champion: str
    challenger: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    as_fitted: bool = False


def common_rows(scored: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The rows for which every one of `names` has a forecast."""
    rows = scored.filter(pl.col("candidate").is_in(names))
    complete = rows.group_by(ROW_KEYS).len().filter(pl.col("len") == len(names))
    return rows.join(complete.select(ROW_KEYS), on=ROW_KEYS, how="semi").sort(
        "candidate", *ROW_KEYS
    )


def decide(
    scored: pl.DataFrame,
    champion: str | None,
    as_of: date,
    unscored: Mapping[str, str] | None = None,
) -> Verdict:
    """Decide on walk-forward rows of every candidate (ROW_KEYS, candidate, actual, quantiles).

    `champion` is the present one's name, None before the first decision; nothing after `as_of` was
    known. `unscored` says of candidates without rows why they have none. Against a champion without
    rows nothing can be compared: it stays.

    Raises:
        PlatformError: the candidates were scored on different rows, a target lies after `as_of`,
            or the baseline was not scored.
    """
    if champion is None:
        name = INITIAL_CHAMPION
        reason = f"first decision for this pool: {name} until something beats it"
        return Verdict("initial", name, "", reason, _evidence(scored, as_of))
    evidence = _evidence(scored, as_of)
    if evidence["weeks"] < MIN_GATE_WEEKS:
        reason = f"{evidence['weeks']} matured weeks, {MIN_GATE_WEEKS} needed to compare"
        return Verdict("refuse", champion, "", reason, evidence)
    table = evidence["candidates"]
    if champion not in table:
        why = (unscored or {}).get(champion, "this code or environment has no such candidate")
        reason = (
            f"the champion {champion} could not be scored on these weeks ({why}): nothing is "
            "compared with it and it keeps speaking as it was fitted. To let another speak: "
            "`stock-platform models list`, then `stock-platform models promote`"
        )
        evidence |= {"champion": champion, "unscored": why}
        return Verdict("refuse", champion, "", reason, evidence, as_fitted=True)
    rivals = {
        name: row["pinball"] for name, row in table.items() if name not in (champion, BASELINE)
    }
    challenger = min(sorted(rivals), key=lambda name: rivals[name])
    tests = {rival: _compare(scored, challenger, rival) for rival in {champion, BASELINE}}
    evidence |= {"challenger": challenger, "champion": champion, "against": tests}
    claimed = table[challenger]
    if claimed["skill"] > PLAUSIBLE_SKILL or claimed["mae_over_random_walk"] < PLAUSIBLE_MAE:
        reason = (
            f"{challenger} is too good to be true (skill {claimed['skill']:+.1%}, MAE over random "
            f"walk {claimed['mae_over_random_walk']:.3f}): look for a leak in the features"
        )
        return Verdict("refuse", champion, challenger, reason, evidence)
    beaten = all(test["t"] > PROMOTION_T for test in tests.values())
    numbers = ", ".join(
        f"{100 * test['improvement']:+.2f} % against {rival} (t {test['t']:.2f})"
        for rival, test in sorted(tests.items())
    )
    if beaten:
        return Verdict(
            "promote", challenger, challenger, f"{challenger} beats both: {numbers}", evidence
        )
    reason = f"{challenger} is not better by t > {PROMOTION_T} against both: {numbers}"
    return Verdict("refuse", champion, challenger, reason, evidence)


def _evidence(scored: pl.DataFrame, as_of: date) -> dict[str, Any]:
    base: dict[str, Any] = {"as_of": str(as_of), "threshold_t": PROMOTION_T, "weeks": 0}
    if scored.is_empty():
        return base | {"candidates": {}}
    parts = _same_rows(scored)
    if scored["target_session"].max() > as_of:  # type: ignore[operator]
        raise PlatformError(f"the gate was given outcomes after {as_of}: that is a leak")
    if BASELINE not in parts:
        raise PlatformError(f"the gate has no walk-forward rows of {BASELINE}")
    table = {name: score(rows, parts[BASELINE]) for name, rows in parts.items()}
    rows = parts[BASELINE]
    return base | {
        "first_week": str(rows["week"].min()),
        "last_week": str(rows["week"].max()),
        "weeks": rows["week"].n_unique(),
        "rows": rows.height,
        "candidates": table,
    }


def _same_rows(scored: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Candidate -> its rows in the order of ROW_KEYS, after checking that all have the same."""
    parts = {
        str(rows["candidate"][0]): rows.sort(ROW_KEYS)
        for rows in scored.partition_by("candidate", maintain_order=True)
    }
    first_name, first = next(iter(parts.items()))
    for name, rows in parts.items():
        if not rows.select(ROW_KEYS, "actual").equals(first.select(ROW_KEYS, "actual")):
            raise PlatformError(
                f"{name} and {first_name} were scored on different rows "
                f"({rows['week'].min()!s}..{rows['week'].max()!s}, {rows.height} rows; "
                f"{first['week'].min()!s}..{first['week'].max()!s}, {first.height} rows): "
                "score both on the same window"
            )
    return parts


def _compare(scored: pl.DataFrame, challenger: str, rival: str) -> dict[str, float]:
    parts = _same_rows(scored.filter(pl.col("candidate").is_in([challenger, rival])))
    weeks = parts[rival]["week"].to_numpy().astype("datetime64[D]")
    loss, reference = (
        weekly_means(pinball(parts[name]["actual"].to_numpy(), quantile_matrix(parts[name])), weeks)
        for name in (challenger, rival)
    )
    statistic, p_value = diebold_mariano(loss, reference)
    return {
        "improvement": float(1 - loss.mean() / reference.mean()),
        "t": newey_west_t(reference - loss),
        "diebold_mariano": statistic,
        "diebold_mariano_p": p_value,
        "loss": float(loss.mean()),
        "rival_loss": float(reference.mean()),
    }
