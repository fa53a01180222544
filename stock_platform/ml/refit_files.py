"""What a refit's MLflow run keeps beside its metrics: evidence, fold table, picture."""

from __future__ import annotations

import polars as pl

from stock_platform.ml.candidates import BASELINE
from stock_platform.ml.gate import Verdict
from stock_platform.ml.serialise import canonical_json


def fold_table(rows: pl.DataFrame) -> pl.DataFrame:
    """Metrics per refit (fold) and candidate of scored walk-forward rows."""
    from stock_platform.ml.metrics import score

    table = []
    for (fold,), part in rows.group_by("refit_week", maintain_order=True):
        baseline = part.filter(pl.col("candidate") == BASELINE)
        for (name,), own in part.group_by("candidate", maintain_order=True):
            table.append({"refit_week": fold, "candidate": name, **score(own, baseline)})
    return pl.DataFrame(table).sort("refit_week", "candidate")


def refit_files(rows: pl.DataFrame, verdict: Verdict) -> dict[str, bytes]:
    """Artifact path -> content, from scored walk-forward rows and what they decided."""
    from stock_platform.ml.plots import walk_forward_plot

    files = {"evidence.json": canonical_json(verdict.evidence).encode()}
    if rows.height:
        files["walk_forward/folds.csv"] = fold_table(rows).write_csv().encode()
        files["walk_forward/skill_and_coverage.png"] = walk_forward_plot(rows)
    return files
