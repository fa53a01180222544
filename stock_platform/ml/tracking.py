"""MLflow's runs: opening MLflow, and one run per refit with its metrics, settings and files.

Which models are registered under which name is in registry.py.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.ml.candidates.base import Fitted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stock_platform.settings import Settings


@dataclass
class RefitRecord:
    """What one refit logs: its identity (tags), the fitted candidates and its evaluation."""

    key: str
    """Digest that says this refit of these models was logged already."""
    title: str
    source: str
    pool: str
    tags: dict[str, str]
    """Further ones: where the data and the code came from."""
    fitted: Mapping[str, Fitted]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """Candidate -> metric -> value."""
    files: Callable[[], dict[str, bytes]] = dict
    """Makes artifact path -> content: fold tables, plots; asked only when the run is not done."""

    @property
    def all_tags(self) -> dict[str, str]:
        """Tags of the run and of every version it registers."""
        return {"source": self.source, "pool": self.pool, **self.tags}


def end_runs_of(settings: Settings, dagster_run_id: str) -> None:
    """Mark as killed what dagster-mlflow opened for a Dagster run that was killed."""
    client = open_mlflow(settings)
    experiments = [one.experiment_id for one in client.search_experiments()]
    running = f"tags.dagster_run_id = '{dagster_run_id}' AND attributes.status = 'RUNNING'"
    for run in client.search_runs(experiments, running):
        client.set_terminated(run.info.run_id, status="KILLED")


def open_mlflow(settings: Settings) -> MlflowClient:
    """The MLflow client, its database made first if need be (killed half-way, it is not)."""
    _prepare_environment(settings)
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)

    uri = settings.mlflow_tracking
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as making:
            MlflowClient(f"sqlite:///{making}/new.db").search_experiments()
            with suppress(FileExistsError):  # another process was first
                os.link(f"{making}/new.db", path)
    return MlflowClient(uri, uri)


def find_or_make_experiment(client: MlflowClient, name: str, location: str) -> str:
    """Id of the experiment called `name`; a new one keeps its artifacts at `location`."""
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=location))


def refit_run(client: MlflowClient, experiment: str, record: RefitRecord) -> Run:
    """The run of this refit, begun if there is none; one that was killed is found by its key."""
    found = client.search_runs([experiment], f"tags.refit_key = '{record.key}'", max_results=1)
    if found:
        return found[0]
    tags = {**record.all_tags, "refit_key": record.key}
    return client.create_run(experiment, run_name=record.title, tags=tags)


def log_refit(client: MlflowClient, run_id: str, record: RefitRecord) -> None:
    """Metrics, settings and files; the same values again after a kill change nothing."""
    from mlflow.entities import Metric, Param

    metrics = [
        Metric(f"{name}/{metric}", value, 0, 0)
        for name, table in record.metrics.items()
        for metric, value in table.items()
        if math.isfinite(value)
    ]
    params = [
        Param(f"{name}/{key}", str(value))
        for name, fitted in record.fitted.items()
        for key, value in fitted.candidate.params.items()
    ]
    client.log_batch(run_id, metrics=metrics, params=params)
    with tempfile.TemporaryDirectory() as folder:
        files = record.files()
        for path, content in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        if files:
            client.log_artifacts(run_id, folder)


def _prepare_environment(settings: Settings) -> None:
    """Tell MLflow what it reads only from the environment: no telemetry, the S3 of the lake."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # Otherwise MLflow makes a folder `mlruns` wherever the command happens to run.
    os.environ.setdefault("_MLFLOW_SERVER_ARTIFACT_ROOT", f"{settings.lake_root}/mlflow")
    if settings.lake_root.startswith("s3://"):
        given = {
            "MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint_url,
            "AWS_DEFAULT_REGION": settings.s3_region,
            "AWS_ACCESS_KEY_ID": settings.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": settings.s3_secret_access_key.get_secret_value(),
        }
        os.environ.update({name: value for name, value in given.items() if value})
