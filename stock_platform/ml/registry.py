"""The model registry: MLflow, one run per refit, one version per fitted candidate, by digest.

Nothing here decides which model speaks; the aliases `champion` and `challenger` follow the
promotion ledger for live use.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import Fitted
from stock_platform.ml.champion import DECISION_ORDER, ModelRef
from stock_platform.ml.mlflow_model import ARTIFACT, write_model
from stock_platform.ml.serialise import model_digest, unpack

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from stock_platform.settings import Settings

MODEL = "week_ahead_price"
EXPERIMENT = "week_ahead_price"


@dataclass
class RefitRecord:
    """What one refit logs: its identity (tags), the fitted candidates and its evaluation."""

    key: str
    """Digest that says this refit of these models was logged already."""
    title: str
    tags: dict[str, str]
    fitted: Mapping[str, Fitted]
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    """Candidate -> metric -> value."""
    files: Callable[[], dict[str, bytes]] = dict
    """Makes artifact path -> content: fold tables, plots; asked only when the run is not done."""


class Registry:
    """MLflow behind a few verbs; opened on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loaded: dict[str, Fitted] = {}
        self._found: dict[str, ModelRef] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """The MLflow client, its database made first if need be (killed half-way, it is not)."""
        _prepare_environment(self.settings)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)

        uri = self.settings.mlflow_tracking
        path = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///") and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as making:
                MlflowClient(f"sqlite:///{making}/new.db").search_experiments()
                with suppress(FileExistsError):  # another process was first
                    os.link(f"{making}/new.db", path)
        return MlflowClient(uri, uri)

    @cached_property
    def experiment_id(self) -> str:
        """The experiment, whose artifacts live in the lake under `mlflow/`."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found:
            return str(found.experiment_id)
        location = f"{self.settings.lake_root}/mlflow"
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=location))

    def find(self, digest: str) -> ModelRef | None:
        """The version with this digest (the first, should a race have made two)."""
        found = self._search(f"tags.model_digest = '{digest}'")
        return min(found, key=lambda ref: ref.version) if found else None

    def find_cached(self, digest: str) -> ModelRef | None:
        """As `find`, asking the registry once per digest found."""
        if digest not in self._found:
            ref = self.find(digest)
            if ref is None:
                return None
            self._found[digest] = ref
        return self._found[digest]

    def version(self, number: int) -> ModelRef:
        """The version with this number.

        Raises:
            PlatformError: there is none.
        """
        found = self._search(f"version_number = {number}")
        if not found:
            raise PlatformError(f"no version {number} of {MODEL}: see `stock-platform models list`")
        return found[0]

    def versions(self) -> list[dict[str, Any]]:
        """Every version, newest first: version, tags, aliases."""
        by_version: dict[int, list[str]] = {}
        for alias, number in self._aliases().items():
            by_version.setdefault(number, []).append(alias)
        return [
            {
                "version": int(v.version),
                "aliases": sorted(by_version.get(int(v.version), [])),
                **{key: v.tags.get(key, "") for key in ("candidate", "refit_week", "source")},
                "pool": v.tags.get("pool", ""),
                "model_digest": v.tags.get("model_digest", ""),
            }
            for v in sorted(self._pages(f"name = '{MODEL}'"), key=lambda v: -int(v.version))
        ]

    def register_refit(self, record: RefitRecord) -> dict[str, ModelRef]:
        """Log a refit and register its candidates; what is there already is left as it is.

        A version carries its digest from its first moment, so a kill leaves either no version or
        a whole one; the run of a killed refit is found by its key and completed.

        Returns:
            Candidate -> its version.
        """
        run = self._run(record)
        refs = {}
        for name, fitted in record.fitted.items():
            digest = model_digest(fitted)
            refs[name] = self.find(digest) or self._register(record, fitted, digest, run)
        if run.info.status != "FINISHED":
            self._log(record, run.info.run_id)
            self.client.set_terminated(run.info.run_id)
        return refs

    def load(self, ref: ModelRef) -> Fitted:
        """The fitted candidate, its digest verified.

        Raises:
            PlatformError: the registry does not hold it, or holds something else.
        """
        if ref.digest not in self._loaded:
            version = self.find(ref.digest)
            if version is None:
                raise PlatformError(
                    f"the registry has no {MODEL} with digest {ref.digest[:12]} ({ref.name}): "
                    "train its week again, or point STOCK_PLATFORM_MLFLOW_TRACKING_URI at the "
                    "registry that has it"
                )
            self._loaded[ref.digest] = unpack(self._download(version.version), ref.digest)
        return self._loaded[ref.digest]

    def follow(self, decisions: pl.DataFrame, pool: str) -> None:
        """Point the aliases `champion` and `challenger` at the pool's last decision.

        Last in the order of the data decided on: filling in a past week leaves them where they are.
        """
        rows = decisions.filter(pl.col("pool") == pool).sort(DECISION_ORDER)
        if rows.is_empty():
            return
        last, held = rows.row(-1, named=True), self._aliases()
        for role, version in (
            ("champion", last["model_version"]),
            ("challenger", last["challenger_version"]),
        ):
            alias = alias_of(role, pool)
            if version and held.get(alias) != version:
                self.client.set_registered_model_alias(MODEL, alias, str(version))

    def check_alias(self, pool: str, champion: ModelRef) -> None:
        """Before a live forecast: does the alias hold what the promotion ledger says?

        Raises:
            PlatformError: it does not.
        """
        number = self._aliases().get(alias_of("champion", pool))
        if number is None or self.version(number).digest != champion.digest:
            raise PlatformError(
                f"alias {alias_of('champion', pool)!r} of {MODEL} points at version {number}, the "
                f"promotion ledger says {champion.version} ({champion.name}): somebody moved it; "
                "use `stock-platform models promote` or `rollback`, which write the ledger"
            )

    def _aliases(self) -> dict[str, int]:
        found = self.client.search_registered_models(f"name = '{MODEL}'")
        return {k: int(v) for k, v in found[0].aliases.items()} if found else {}

    def _pages(self, condition: str) -> list[Any]:
        found, token = [], None
        while True:
            page = self.client.search_model_versions(condition, 1000, page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return found

    def _search(self, condition: str) -> list[ModelRef]:
        return [
            ModelRef(v.tags["candidate"], int(v.version), v.tags["model_digest"])
            for v in self._pages(f"name = '{MODEL}' and {condition}")
        ]

    def _run(self, record: RefitRecord) -> Any:
        found = self.client.search_runs(
            [self.experiment_id], f"tags.refit_key = '{record.key}'", max_results=1
        )
        if found:
            return found[0]
        tags = {**record.tags, "refit_key": record.key}
        return self.client.create_run(self.experiment_id, run_name=record.title, tags=tags)

    def _register(self, record: RefitRecord, fitted: Fitted, digest: str, run: Any) -> ModelRef:
        from mlflow.exceptions import RestException

        name = fitted.candidate.name
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), fitted)
            self.client.log_artifacts(run.info.run_id, folder, f"models/{name}")
        if not self.client.search_registered_models(f"name = '{MODEL}'"):
            try:
                self.client.create_registered_model(MODEL)
            except RestException as error:  # another run was first
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        version = self.client.create_model_version(
            MODEL,
            f"{run.info.artifact_uri}/models/{name}",
            run_id=run.info.run_id,
            tags={**record.tags, "candidate": name, "model_digest": digest},
        )
        return ModelRef(name, int(version.version), digest)

    def _log(self, record: RefitRecord, run_id: str) -> None:
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
        self.client.log_batch(run_id, metrics=metrics, params=params)
        with tempfile.TemporaryDirectory() as folder:
            files = record.files()
            for path, content in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            if files:
                self.client.log_artifacts(run_id, folder)

    def _download(self, version: int) -> bytes:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        source = self.client.get_model_version_download_uri(MODEL, str(version))
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = download_artifacts(
                    f"{source}/{ARTIFACT}",
                    dst_path=folder,
                    tracking_uri=self.settings.mlflow_tracking,
                )
                return Path(path).read_bytes()
            except (MlflowException, OSError) as error:
                raise PlatformError(
                    f"the artifact of {MODEL} version {version} is missing at {source}: restore it "
                    "or train its week again"
                ) from error


def alias_of(role: str, pool: str) -> str:
    """`champion`, `challenger`; of a pool other than equities `champion-metal` and so on."""
    return role if pool == "equity" else f"{role}-{pool}"


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
