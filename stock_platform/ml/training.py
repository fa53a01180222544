"""The weekly training: refit, walk-forward, register, gate, write the decision.

Only refit weeks do work; other weeks are served by the last one. What a refit of week W decides
depends on data available when W's forecast is made and on decisions before it, never on later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from stock_platform.ml.candidates import all_candidates
from stock_platform.ml.candidates.base import Candidate
from stock_platform.ml.champion import (
    NO_MODEL,
    champion_in,
    decision_by_hand,
    promotion_row,
    promotions,
)
from stock_platform.ml.code_digest import code_digest, code_version
from stock_platform.ml.features import Panel
from stock_platform.ml.gate import EVALUATION_WEEKS, MIN_GATE_WEEKS, Verdict, common_rows, decide
from stock_platform.ml.ledger import write_promotion
from stock_platform.ml.panel_reader import PanelReader, View
from stock_platform.ml.pools import POOLS
from stock_platform.ml.refit_files import refit_files
from stock_platform.ml.registry import Registry
from stock_platform.ml.serialise import canonical_json, digest_of, model_digest
from stock_platform.ml.tracking import RefitRecord
from stock_platform.ml.walk_forward import (
    Block,
    last_day,
    refits_between,
    run_block,
    scored,
)

Progress = Callable[[str, int, int], None]
DECISION_COLUMNS = {
    "refit_week": pl.Date,
    "pool": pl.String,
    "action": pl.String,
    "champion": pl.String,
    "champion_version": pl.Int64,
    "challenger": pl.String,
    "reason": pl.String,
    "new": pl.Boolean,
}


@dataclass
class TrainingReport:
    """What the refits of a range did.

    Attributes:
        decisions: one row per refit and pool (DECISION_COLUMNS; `new` False: decided before).
        scores: one row per refit, pool and candidate with every walk-forward metric.
        evaluation: scored walk-forward rows behind the last decision of each pool, for pictures.
        skipped: refit weeks without data.
    """

    decisions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DECISION_COLUMNS))
    scores: pl.DataFrame = field(default_factory=pl.DataFrame)
    evaluation: dict[str, pl.DataFrame] = field(default_factory=dict)
    skipped: list[date] = field(default_factory=list)


@dataclass(frozen=True)
class Refit:
    """One refit of one pool: its week, the moment it is decided, and the panel as of then."""

    week: date
    pool: str
    moment: datetime
    view: View

    @cached_property
    def panel(self) -> Panel:
        """What the pool's data were at the moment."""
        return of_pool(self.view.panel, self.pool)

    @cached_property
    def read(self) -> Panel:
        """The read `panel` was cut from, shared with other refits."""
        return of_pool(self.view.read.panel, self.pool)


@dataclass(frozen=True)
class Outcome:
    """A refit's decision as it stands in the ledger, and the rows it rests on."""

    refit: Refit
    row: dict[str, Any]
    new: bool
    verdict: Verdict
    evaluation: pl.DataFrame


@dataclass
class Trainer:
    """Everything one training call shares between its refits."""

    client: Any
    registry: Registry
    source: str
    snapshot_ids: dict[str, int]
    actor: str
    candidates: Sequence[Candidate]
    _blocks: dict[tuple[int, str, date], Block] = field(default_factory=dict)

    def run(self, refit: Refit) -> Outcome:
        """Fit, evaluate, register and decide."""
        block = self._block(refit, refit.week)
        rows = self._evaluation(refit, list(block.fitted))
        decisions = promotions(self.client, self.source)
        present = champion_in(decisions, refit.pool, refit.moment)
        unscored = _unscored(block, rows)
        verdict = decide(rows, present.name if present else None, last_day(refit.week), unscored)
        by_hand = decision_by_hand(decisions, refit.pool, refit.moment)
        if by_hand and present:
            reason = f"decided by hand on the same data, which stands: {by_hand}"
            verdict = replace(
                verdict, action="refuse", champion=present.name, reason=reason, as_fitted=True
            )
        verdict.evidence.update(refit_week=str(refit.week), sat_out=block.sat_out)
        key = self._key(refit, block)
        refs = self.registry.register_refit(self._record(refit, key, block, rows, verdict))
        decided = decisions.filter(pl.col("decision_id") == key)
        if decided.height:
            return Outcome(refit, decided.row(0, named=True), False, verdict, rows)
        row = promotion_row(
            decided_at=datetime.now(UTC),
            data_as_of=refit.moment,
            source=self.source,
            pool=refit.pool,
            action=verdict.action,
            # A champion that could not be fitted again speaks on as it was.
            model=(not verdict.as_fitted and refs.get(verdict.champion)) or present or NO_MODEL,
            challenger=refs.get(verdict.challenger, NO_MODEL),
            previous=present or NO_MODEL,
            actor=self.actor,
            reason=verdict.reason,
            evidence=verdict.evidence,
            decision_id=key,
        )
        return Outcome(refit, row, write_promotion(self.client, row), verdict, rows)

    def _block(self, refit: Refit, week: date) -> Block:
        key = (id(refit.view.read), refit.pool, week)
        if key not in self._blocks:
            self._blocks[key] = run_block(refit.read, self.candidates, week)
        return self._blocks[key]

    def _evaluation(self, refit: Refit, names: list[str]) -> pl.DataFrame:
        """Scored walk-forward rows of the weeks before the refit, the same for all `names`."""
        first = refit.week - timedelta(weeks=EVALUATION_WEEKS)
        refits = refits_between(first, refit.week - timedelta(weeks=1))
        frames = [self._block(refit, week).forecasts for week in refits]
        frames = [frame for frame in frames if frame.height]
        if not frames:
            return pl.DataFrame()
        rows = pl.concat(frames).filter(pl.col("week").is_between(first, refit.week, closed="left"))
        outcome = scored(rows, refit.panel, last_day(refit.week))
        # One that could be fitted only lately must not take the weeks before from the others.
        weeks = outcome.group_by("candidate").agg(pl.col("week").n_unique())
        enough = min([MIN_GATE_WEEKS, *weeks["week"].top_k(1)])
        ripe = weeks.filter(pl.col("week") >= enough)["candidate"].to_list()
        return common_rows(outcome, [name for name in names if name in ripe])

    def _key(self, refit: Refit, block: Block) -> str:
        digests = [model_digest(fitted) for fitted in block.fitted.values()]
        identity = ("refit", self.source, refit.pool, str(refit.week), code_digest())
        return digest_of(*identity, *digests)[:32]

    def _record(
        self, refit: Refit, key: str, block: Block, rows: pl.DataFrame, verdict: Verdict
    ) -> RefitRecord:
        return RefitRecord(
            key=key,
            title=f"{self.source} {refit.pool} {refit.week}",
            source=self.source,
            pool=refit.pool,
            tags={
                "refit_week": str(refit.week),
                "data_as_of": refit.moment.isoformat(),
                "lake_snapshot_ids": canonical_json(self.snapshot_ids),
                "code_version": code_version(),
                "code_digest": code_digest(),
            },
            fitted=block.fitted,
            metrics=verdict.evidence.get("candidates", {}),
            files=lambda: refit_files(rows, verdict),
        )


def train_weeks(
    client: Any,
    registry: Registry,
    reader: PanelReader,
    source: str,
    weeks: Sequence[date],
    *,
    snapshot_ids: dict[str, int] | None = None,
    actor: str = "training",
    candidates: Sequence[Candidate] | None = None,
    refit_all: bool = False,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train what serves the weeks (Mondays): every refit week from the one before the first.

    Running it again, over any range, adds nothing: decisions are keyed by what was fitted.

    `snapshot_ids` are the lake snapshots the warehouse was built from, recorded only; `actor` is
    named on the decisions; `candidates` are all unless given. With `refit_all` every one of `weeks`
    is a refit week too, as after drift; what it decides stands until the next decision.
    """
    report = TrainingReport()
    if not weeks:
        return report
    trainer = Trainer(
        client, registry, source, snapshot_ids or {}, actor, candidates or all_candidates()
    )
    refits = sorted({*refits_between(min(weeks), max(weeks)), *(weeks if refit_all else ())})
    reader.prepare(max(weeks))
    outcomes: list[Outcome] = []
    for done, week in enumerate(refits):
        if progress:
            progress("refits", done, len(refits))
        moment = reader.decision_time(week)
        if moment is None:
            report.skipped.append(week)
            continue
        view = reader.at(moment)
        pools = pools_of(view.panel)
        outcomes += [trainer.run(Refit(week, pool, moment, view)) for pool in pools]
    if progress:
        progress("refits", len(refits), len(refits))
    for pool in {outcome.refit.pool for outcome in outcomes}:
        registry.follow(promotions(client, source), source, pool)
    _fill(report, outcomes)
    return report


def _unscored(block: Block, rows: pl.DataFrame) -> dict[str, str]:
    """Candidate -> why it has no walk-forward rows: not fitted in this refit, or only lately."""
    scored_names = set(rows["candidate"]) if rows.height else set()
    lately = "fitted too lately: it lacks walk-forward rows of most of them"
    late = {name: lately for name in block.fitted if name not in scored_names}
    return block.sat_out | late


def pools_of(panel: Panel) -> list[str]:
    """Pools that have instruments in the panel."""
    return sorted({POOLS[name] for name in panel.frame["asset_class"].unique()})


def of_pool(panel: Panel, pool: str) -> Panel:
    """The rows of one pool."""
    classes = [name for name, its_pool in POOLS.items() if its_pool == pool]
    if panel.frame["asset_class"].is_in(classes).all():
        return panel
    return panel.where(pl.col("asset_class").is_in(classes))


def _fill(report: TrainingReport, outcomes: list[Outcome]) -> None:
    decisions, scores = [], []
    for outcome in outcomes:
        row, refit = outcome.row, outcome.refit
        where = {"refit_week": refit.week, "pool": refit.pool}
        decisions.append(
            where
            | {
                "action": row["action"],
                "champion": row["model_name"],
                "champion_version": row["model_version"],
                "challenger": row["challenger_name"],
                "reason": row["reason"],
                "new": outcome.new,
            }
        )
        table = outcome.verdict.evidence.get("candidates", {})
        scores += [where | {"candidate": name} | metrics for name, metrics in table.items()]
        report.evaluation[refit.pool] = outcome.evaluation
    if decisions:
        report.decisions = pl.DataFrame(decisions)
    if scores:
        report.scores = pl.DataFrame(scores)
