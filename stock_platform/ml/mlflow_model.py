"""A fitted candidate as an MLflow model directory, and what MLflow gives to who loads it.

`mlflow.pyfunc.load_model("models:/week_ahead_price-sample-equity@champion")` is for people who want
the model outside the platform; the platform itself loads through registry.py and verifies the
digest.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from stock_platform.ml.candidates.base import Fitted
from stock_platform.ml.features import COLUMNS, HORIZONS, KEYS, Panel
from stock_platform.ml.quantiles import COLUMN_NAMES
from stock_platform.ml.serialise import model_digest, pack, read_arrays

if TYPE_CHECKING:
    import pandas as pd


ARTIFACT = "model.npz"
REQUIREMENTS = ["numpy", "polars", "stock-platform"]


def write_model(folder: Path, fitted: Fitted) -> None:
    """An MLflow model directory: the arrays and how `mlflow.pyfunc` loads them."""
    import mlflow.pyfunc
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    kinds = dict.fromkeys(KEYS, "string") | dict.fromkeys(["session", "available_at"], "datetime")
    kinds |= dict.fromkeys(["session_number", "history_sessions"], "long")
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec("long", "horizon"),
        *(ColSpec("double", c) for c in COLUMN_NAMES),
    ]
    (folder / ARTIFACT).write_bytes(pack(fitted))
    (folder / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n")
    model = Model(
        utc_time_created="1970-01-01 00:00:00",
        model_uuid=model_digest(fitted)[:32],
        metadata={"candidate": fitted.candidate.name, **fitted.candidate.params},
        signature=ModelSignature(
            inputs=Schema([ColSpec(kinds.get(c, "double"), c) for c in COLUMNS]),
            outputs=Schema(outputs),
        ),
    )
    mlflow.pyfunc.add_to_model(model, loader_module="stock_platform.ml.mlflow_model", data=ARTIFACT)
    model.save(str(folder / "MLmodel"))


class Forecaster:
    """Rows of the feature table in, five rows each out: horizon and quantiles of log return."""

    def __init__(self, fitted: Fitted) -> None:
        self.fitted = fitted

    def predict(self, data: pd.DataFrame) -> pd.DataFrame:
        """Quantiles per instrument, session and horizon for the usable rows of `data`."""
        panel = Panel.build(pl.from_pandas(data), None)
        rows = panel.rows(panel.usable)
        quantiles = self.fitted.predict(rows).quantiles
        keys = rows.frame.select("instrument_id", "session")
        frames = [
            pl.concat(
                [
                    keys.with_columns(horizon=pl.lit(horizon)),
                    pl.DataFrame(quantiles[:, column], schema=COLUMN_NAMES),
                ],
                how="horizontal",
            )
            for column, horizon in enumerate(HORIZONS)
        ]
        return pl.concat(frames).to_pandas()


def _load_pyfunc(path: str) -> Forecaster:
    """Called by MLflow with the path of the model's data."""
    return Forecaster(read_arrays(Path(path).read_bytes()))
