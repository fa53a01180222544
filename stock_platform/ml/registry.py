"""The model registry: one registered MLflow model per source and pool, a version per digest.

Nothing here decides which model speaks; the aliases `champion` and `challenger` follow the
promotion ledger for live use. The runs behind the versions are in tracking.py.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from stock_platform.errors import PlatformError
from stock_platform.ml.candidates.base import Fitted
from stock_platform.ml.champion import DECISION_ORDER, ModelRef
from stock_platform.ml.mlflow_model import ARTIFACT, write_model
from stock_platform.ml.serialise import model_digest, unpack
from stock_platform.ml.tracking import (
    RefitRecord,
    find_or_make_experiment,
    log_refit,
    open_mlflow,
    refit_run,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from stock_platform.settings import Settings

EXPERIMENT = "week_ahead_price"
SHOWN_TAGS = ["candidate", "refit_week", "source", "pool", "model_digest"]


def model_name(source: str, pool: str) -> str:
    """Name of the registered model: a version belongs to one source and pool and to no other."""
    return f"{EXPERIMENT}-{source}-{pool}"


class Registry:
    """MLflow behind a few verbs; opened on first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loaded: dict[str, Fitted] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """See `open_mlflow`."""
        return open_mlflow(self.settings)

    @cached_property
    def experiment_id(self) -> str:
        """The experiment of all refits, whose artifacts live in the lake under `mlflow/`."""
        return find_or_make_experiment(self.client, EXPERIMENT, f"{self.settings.lake_root}/mlflow")

    def find(self, source: str, pool: str, digest: str) -> ModelRef | None:
        """The version with this digest (the first, should a race have made two)."""
        name = model_name(source, pool)
        found = self._search(f"name = '{name}' and tags.model_digest = '{digest}'")
        return min(map(_ref, found), key=lambda ref: ref.version) if found else None

    def version(self, source: str, pool: str, number: int) -> ModelRef:
        """The version of this source and pool with this number.

        Raises:
            PlatformError: there is none; it says which there are, and where that number is.
        """
        found = self._search(f"name = '{model_name(source, pool)}' and version_number = {number}")
        if not found:
            raise PlatformError(self._no_version(source, pool, number))
        return _ref(found[0])

    def versions(self, source: str) -> list[dict[str, Any]]:
        """Every version of a source, by pool and newest first: version, aliases, tags."""
        return [
            {
                "version": int(v.version),
                "aliases": sorted(k for k, n in model.aliases.items() if int(n) == int(v.version)),
                **{key: v.tags.get(key, "") for key in SHOWN_TAGS},
            }
            for model in self._models(source)
            for v in sorted(self._search(f"name = '{model.name}'"), key=lambda v: -int(v.version))
        ]

    def register_refit(self, record: RefitRecord) -> dict[str, ModelRef]:
        """Log a refit and register its candidates; what is there already is left as it is.

        A version carries its digest from its first moment, so a kill leaves either no version or
        a whole one; the run of a killed refit is found by its key and completed.

        Returns:
            Candidate -> its version.
        """
        run = refit_run(self.client, self.experiment_id, record)
        refs = {}
        for name, fitted in record.fitted.items():
            digest = model_digest(fitted)
            present = self.find(record.source, record.pool, digest)
            refs[name] = present or self._register(record, fitted, digest, run)
        if run.info.status != "FINISHED":
            log_refit(self.client, run.info.run_id, record)
            self.client.set_terminated(run.info.run_id)
        return refs

    def load(self, ref: ModelRef) -> Fitted:
        """The fitted candidate, digest verified; an equal digest under another name is this model.

        Raises:
            PlatformError: the registry does not hold it, or holds something else.
        """
        if ref.digest not in self._loaded:
            found = self._search(f"tags.model_digest = '{ref.digest}'")
            if not found:
                raise PlatformError(
                    f"the registry has no model with digest {ref.digest[:12]} ({ref.name}): "
                    "train its week again, or point STOCK_PLATFORM_MLFLOW_TRACKING_URI at the "
                    "registry that has it"
                )
            first = min(found, key=lambda v: (v.name, int(v.version)))
            self._loaded[ref.digest] = unpack(self._download(first), ref.digest)
        return self._loaded[ref.digest]

    def follow(self, decisions: pl.DataFrame, source: str, pool: str) -> None:
        """Point the aliases `champion` and `challenger` at what the pool's last decision says.

        Last in the order of the data decided on: filling in a past week leaves them where they are.
        """
        mine = (pl.col("source") == source) & (pl.col("pool") == pool)
        rows = decisions.filter(mine).sort(DECISION_ORDER)
        if rows.is_empty():
            return
        last, held = rows.row(-1, named=True), self._aliases(source, pool)
        for alias, digest in (
            ("champion", last["model_digest"]),
            ("challenger", last["challenger_digest"]),
        ):
            ref = self.find(source, pool, digest) if digest else None
            if ref and held.get(alias) != ref.version:
                name = model_name(source, pool)
                self.client.set_registered_model_alias(name, alias, str(ref.version))

    def check_alias(self, source: str, pool: str, champion: ModelRef) -> None:
        """Before a live forecast: does the alias hold what the promotion ledger says?

        Raises:
            PlatformError: it does not.
        """
        number = self._aliases(source, pool).get("champion")
        if number is None or self.version(source, pool, number).digest != champion.digest:
            raise PlatformError(
                f"alias 'champion' of {model_name(source, pool)} points at version {number}, the "
                f"promotion ledger says {champion.version} ({champion.name}): somebody moved it; "
                "use `stock-platform models promote` or `rollback`, which write the ledger"
            )

    def _models(self, source: str) -> list[RegisteredModel]:
        found = self.client.search_registered_models(f"tags.source = '{source}'")
        return sorted(found, key=lambda model: str(model.tags["pool"]))

    def _aliases(self, source: str, pool: str) -> dict[str, int]:
        found = self.client.search_registered_models(f"name = '{model_name(source, pool)}'")
        return {k: int(v) for k, v in found[0].aliases.items()} if found else {}

    def _search(self, condition: str) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token = None
        while True:
            page = self.client.search_model_versions(condition, 1000, page_token=token)
            found += list(page)
            token = page.token
            if not token:
                return found

    def _no_version(self, source: str, pool: str, number: int) -> str:
        pools = [str(model.tags["pool"]) for model in self._models(source)]
        if not pools:
            return (
                f"source {source!r} has no registered model: train a week first (`stock-platform "
                f"run` with STOCK_PLATFORM_SOURCE={source})"
            )
        if pool not in pools:
            known = ", ".join(pools)
            return f"source {source!r} has no registered model in pool {pool!r}, it has {known}"
        own = [int(v.version) for v in self._search(f"name = '{model_name(source, pool)}'")]
        message = (
            f"source {source!r} has no version {number} in pool {pool!r}, it has {min(own)} to "
            f"{max(own)} (`stock-platform models list`)"
        )
        elsewhere = sorted(
            f"source {v.tags['source']!r}, pool {v.tags['pool']!r}"
            for v in self._search(f"version_number = {number}")
            if v.name == model_name(v.tags.get("source", ""), v.tags.get("pool", ""))
        )
        if elsewhere:
            message += (
                f"; a version {number} is of {' and '.join(elsewhere)}: set STOCK_PLATFORM_SOURCE "
                "and --pool to promote it there"
            )
        return message

    def _register(self, record: RefitRecord, fitted: Fitted, digest: str, run: Run) -> ModelRef:
        from mlflow.exceptions import RestException

        candidate, name = fitted.candidate.name, model_name(record.source, record.pool)
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder), fitted)
            self.client.log_artifacts(run.info.run_id, folder, f"models/{candidate}")
        if not self.client.search_registered_models(f"name = '{name}'"):
            tags = {"source": record.source, "pool": record.pool}
            try:
                self.client.create_registered_model(name, tags)
            except RestException as error:  # another run was first
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
        version = self.client.create_model_version(
            name,
            f"{run.info.artifact_uri}/models/{candidate}",
            run_id=run.info.run_id,
            tags={**record.all_tags, "candidate": candidate, "model_digest": digest},
        )
        return _ref(version)

    def _download(self, version: ModelVersion) -> bytes:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        source = self.client.get_model_version_download_uri(version.name, version.version)
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
                    f"the artifact of {version.name} version {version.version} is missing at "
                    f"{source}: restore it or train its week again"
                ) from error


def _ref(version: ModelVersion) -> ModelRef:
    tags = version.tags
    return ModelRef(tags["candidate"], int(version.version), tags["model_digest"])
