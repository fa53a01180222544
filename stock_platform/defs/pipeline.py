"""Runs the graph's jobs in order for `stock-platform run`, each only where something is stale.

A stage is up to date when the newest successful run of its job recorded the same inputs and outputs
as there are now, and every partition it needs is materialized. A killed run recorded nothing, so
its stage runs again: every asset is idempotent.
"""

import os
import re
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.errors import DagsterAssetCheckFailedError

from stock_platform.defs.exclusive import PID_TAG, fail_orphans, one_at_a_time, stdout_to
from stock_platform.defs.forecasting.forecasts import ACCEPT_LOSS_TAG
from stock_platform.defs.stages import BESIDE, FORECAST, Stage, stages
from stock_platform.errors import PlatformError
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.sources import get_source
from stock_platform.sources.base import Source
from stock_platform.universe import Instrument
from stock_platform.warehouse.client import connect

INPUTS_TAG = ".dagster/stock_platform/inputs"
OUTPUTS_TAG = ".dagster/stock_platform/outputs"
"""Tags of our runs; Dagster's pages leave out those that begin with `.dagster/`."""
_DBT_ERRORS = "Errors parsed from dbt logs:"
_WAREHOUSE_GONE = ("Connection refused", "Remote end closed connection", "RemoteDisconnected")
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RUNS_LOOKED_AT = 50
"""How far back a run that recorded its inputs is looked for."""

WEEKS_LOOKED_AT = 10
"""How far back a week with an origin is looked for: a source may end in the middle of a week."""

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Refusals:
    """What was not forecast in the newest week that has an origin.

    Attributes:
        week: its Monday; None: none of the last `WEEKS_LOOKED_AT` has one.
        reasons: symbol -> reason, of the instruments that had a bar by then.
        instruments: those of the source that had not ended before the week.
    """

    week: date | None
    reasons: dict[str, str]
    instruments: list[Instrument]


def run_pipeline(settings: Settings, *, accept_ledger_loss: bool = False) -> Refusals:
    """Bring the whole graph up to date for the active source.

    With `accept_ledger_loss` a ledger that lost rows is not an error: every week is forecast again.

    Returns:
        What the last week could not forecast.

    Raises:
        PlatformError: a stage failed, or another run holds this home.
    """
    os.environ.setdefault("DAGSTER_HOME", str(PROJECT_ROOT))
    with one_at_a_time(settings.home), DagsterInstance.get() as instance:
        fail_orphans(settings, instance)
        repository = ReconstructableRepository.for_module("stock_platform.definitions", "defs")
        connect(settings).close()  # a wrong password is told now, not after the first stage
        source = get_source(settings)
        for note in source.notes():
            _say(f"{source.name}: {note}")
        tags = {FORECAST: {ACCEPT_LOSS_TAG: "yes"}} if accept_ledger_loss else {}
        todo = [replace(one, tags=tags.get(one.job, {})) for one in stages(settings, source)]
        log = settings.home / "run.log"
        late: list[str] = []
        for stage in todo:
            try:
                _bring_up_to_date(stage, instance, repository, log)
            except PlatformError as error:
                if stage.job != BESIDE:
                    raise
                # An outage of the bank does not hold up the shares, nor does it turn green.
                _say(f"{stage.job}: FAILED, going on without")
                late.append(str(error))
        if late:
            raise PlatformError("; ".join(late))
        forecast = next(stage for stage in todo if stage.job == FORECAST)
        return _refusals(forecast, instance, source)


def _bring_up_to_date(
    stage: Stage, instance: DagsterInstance, repository: ReconstructableRepository, log: Path
) -> None:
    started = time.monotonic()
    inputs = stage.inputs()
    missing = _missing(stage, instance)
    if not missing and _recorded(stage, instance) == (inputs, stage.outputs()):
        _say(f"{stage.job}: up to date")
        return
    tags = {INPUTS_TAG: inputs, PID_TAG: str(os.getpid()), **stage.tags}
    if stage.partitions is not None:
        changed = stage.tags or _recorded(stage, instance)[0] != inputs
        keys = (not changed and missing) or stage.partitions
        tags |= {_RANGE_START: keys[0], _RANGE_END: keys[-1]}
        _say(f"{stage.job}: {len(keys):,} partitions, {keys[0]} to {keys[-1]}")
    else:
        _say(f"{stage.job}: building")
    with stdout_to(log):
        result = dg.execute_job(
            repository.get_reconstructable_job(stage.job),
            instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags=tags,
        )
    if not result.success:
        raise PlatformError(
            f"{stage.job} failed: {_failure(result)}\n"
            f"What was written stays; mend it and run again. Details: {log} and "
            f"Dagster run {result.run_id}."
        )
    instance.add_run_tags(result.run_id, {OUTPUTS_TAG: stage.outputs()})
    _say(f"{stage.job}: done in {time.monotonic() - started:,.0f} s")


def _missing(stage: Stage, instance: DagsterInstance) -> list[str]:
    if stage.partitions is None:
        return []
    have = instance.get_materialized_partitions(stage.asset)
    return [key for key in stage.partitions if key not in have]


def _recorded(stage: Stage, instance: DagsterInstance) -> tuple[str | None, str | None]:
    succeeded = RunsFilter(job_name=stage.job, statuses=[DagsterRunStatus.SUCCESS])
    for run in instance.get_runs(succeeded, limit=RUNS_LOOKED_AT):
        if OUTPUTS_TAG in run.tags:  # one started by hand recorded nothing
            return run.tags.get(INPUTS_TAG), run.tags[OUTPUTS_TAG]
    return None, None


def _failure(result: dg.JobExecutionResult) -> str:
    messages = []
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            if error.cls_name != DagsterAssetCheckFailedError.__name__:  # told below, with why
                messages.append(_plain((error.cause or error).message))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
                asset = check.asset_key.to_user_string()
                messages.append(f"check {check.check_name} of {asset}: {check.description or ''}")
    return "; ".join(dict.fromkeys(messages)) or "see its log"


def _plain(message: str) -> str:
    """An error's message without the command line of dbt, colours, and what a user can't use."""
    message = _ANSI_COLOUR.sub("", message).strip()
    _, found, of_dbt = message.partition(_DBT_ERRORS)
    if any(sign in message for sign in _WAREHOUSE_GONE):
        return "the warehouse stopped in the middle of it (its log is in HOME/warehouse)"
    return of_dbt.strip() if found else message


def _refusals(stage: Stage, instance: DagsterInstance, source: Source) -> Refusals:
    """What was not forecast in the newest week that has an origin, with the reason."""
    instruments = source.instruments()
    for key in reversed((stage.partitions or [])[-WEEKS_LOOKED_AT:]):
        newest = dg.AssetRecordsFilter(stage.asset, asset_partitions=[key])
        materialized = instance.fetch_materializations(newest, limit=1).records
        event = materialized[0].asset_materialization if materialized else None
        if event and "reason" not in event.metadata:
            told, week = event.metadata.get("refusals"), date.fromisoformat(key)
            reasons: dict[str, str] = dict(told.value) if told else {}  # type: ignore[arg-type]
            alive = [i for i in instruments if i.last_session is None or i.last_session >= week]
            return Refusals(week, reasons, alive)
    return Refusals(None, {}, instruments)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
