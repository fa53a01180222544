"""Which model speaks in which week: guarantee G9, replayed over the history of a panel.

The rule is the gate's (gate.py): every quarter the model with the smallest loss over the last
EVALUATION_WEEKS takes over if it beats the one that speaks and the random walk, both by more than
PROMOTION_T, on the same instruments and weeks, none of them matured later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stock_platform.ml.candidates import BASELINE, INITIAL_CHAMPION
from stock_platform.ml.gate import EVALUATION_WEEKS, PROMOTION_T
from stock_platform.ml.metrics import newey_west_t
from stock_platform.ml.weekly.bars import Floats
from stock_platform.ml.weekly.features import Weekly

MIN_WEEKS = 52
"""Fewer matured weeks than this decide nothing: half of what the gate asks of a pool, for a week's
mean rests on every instrument of the panel."""


@dataclass(frozen=True)
class Decision:
    """A choice.

    Attributes:
        week: the first it holds for.
        champion: speaks from this week on.
        challenger: the best of the others; empty without enough weeks.
        t: of the challenger against the champion so far and against the baseline, the smaller.
    """

    week: int
    champion: str
    challenger: str = ""
    t: float = float("nan")


def decide(weekly: Weekly, losses: dict[str, Floats], weeks: Sequence[int]) -> list[Decision]:
    """Decisions at `weeks`, rows of the panel in order.

    `losses` are mean losses per week (W,) of the baseline and every candidate, all over the same
    instruments; NaN in weeks without.
    """
    champion = INITIAL_CHAMPION
    decisions = []
    for week in weeks:
        decision = Decision(week, champion)
        end = weekly.matured(week)
        window = slice(max(0, end - EVALUATION_WEEKS), end)
        scored = {name: loss[window] for name, loss in losses.items()}
        ready = {
            name: loss for name, loss in scored.items() if np.isfinite(loss).sum() >= MIN_WEEKS
        }
        if champion in ready and BASELINE in ready:
            common = np.all([np.isfinite(loss) for loss in ready.values()], axis=0)
            if common.sum() >= MIN_WEEKS:
                decision = _compare({n: loss[common] for n, loss in ready.items()}, champion, week)
        champion = decision.champion
        decisions.append(decision)
    return decisions


def _compare(losses: dict[str, Floats], champion: str, week: int) -> Decision:
    rivals = [name for name in losses if name not in (champion, BASELINE)]
    if not rivals:
        return Decision(week, champion)
    challenger = min(rivals, key=lambda name: float(losses[name].mean()))
    against = (champion, BASELINE)
    t = min(newey_west_t(losses[rival] - losses[challenger]) for rival in against)
    return Decision(week, challenger if t > PROMOTION_T else champion, challenger, t)
