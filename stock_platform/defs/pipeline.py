"""Runs the graph's jobs in order for `stock-platform run`, each only where something is stale.

A stage is up to date when the newest successful run of its job recorded the same inputs and outputs
as there are now, and every partition it needs is materialized. A killed run recorded nothing, so
its stage runs again: every asset is idempotent.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import dagster as dg
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.errors import DagsterAssetCheckFailedError

from stock_platform.defs.forecasting.forecasts import ACCEPT_LOSS_TAG
from stock_platform.errors import PlatformError
from stock_platform.partitions import days, monday, weeks
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.sources import companions, get_source
from stock_platform.sources.base import Source
from stock_platform.universe import Instrument
from stock_platform.warehouse.client import connect

INPUTS_TAG = ".dagster/stock_platform/inputs"
OUTPUTS_TAG = ".dagster/stock_platform/outputs"
PID_TAG = ".dagster/stock_platform/pid"
"""Tags of our runs; Dagster's pages leave out those that begin with `.dagster/`."""
_DBT_ERRORS = "Errors parsed from dbt logs:"
_WAREHOUSE_GONE = ("Connection refused", "Remote end closed connection", "RemoteDisconnected")
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
BESIDE = "ingest_beside"
"""The job that loads what goes with the active source; others run without it."""
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


@dataclass(frozen=True)
class Stage:
    """One job of the graph.

    Attributes:
        asset: the asset that is materialized last.
        partitions: keys that must be materialized; None for an unpartitioned job.
        inputs: digest of what the stage reads, code included.
        outputs: digest of the state it leaves; differs when somebody removed or added something.
        tags: further tags of its run, which then covers every partition.
    """

    job: str
    asset: dg.AssetKey
    partitions: list[str] | None
    inputs: Callable[[], str]
    outputs: Callable[[], str]
    tags: dict[str, str] = field(default_factory=dict)


def run_pipeline(settings: Settings, *, accept_ledger_loss: bool = False) -> Refusals:
    """Bring the whole graph up to date for the active source.

    With `accept_ledger_loss` a ledger that lost rows is not an error: every week is forecast again.

    Returns:
        What the last week could not forecast.

    Raises:
        PlatformError: a stage failed, or another run holds this home.
    """
    os.environ.setdefault("DAGSTER_HOME", str(PROJECT_ROOT))
    with _one_at_a_time(settings.home), DagsterInstance.get() as instance:
        _fail_orphans(settings, instance)
        repository = ReconstructableRepository.for_module("stock_platform.definitions", "defs")
        connect(settings).close()  # a wrong password is told now, not after the first stage
        source = get_source(settings)
        for note in source.notes():
            _say(f"{source.name}: {note}")
        stages = list(_stages(settings, source))
        if accept_ledger_loss:
            stages[-2] = replace(stages[-2], tags={ACCEPT_LOSS_TAG: "yes"})
        log = settings.home / "run.log"
        late: list[str] = []
        for stage in stages:
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
        return _refusals(stages[-2], instance, source)


def _stages(settings: Settings, source: Source) -> Iterator[Stage]:
    import polars as pl

    from stock_platform.lake.lake import Lake
    from stock_platform.lake.schema import DATASETS

    first, last = source.span()
    package = PROJECT_ROOT / "stock_platform"
    calendars = [package / f"{name}.py" for name in ("calendars", "calendar_cbr", "universe")]
    loading = _digest_of(package / "sources", package / "lake", *calendars)
    models = _digest_of(PROJECT_ROOT / "dbt" / "models", PROJECT_ROOT / "dbt" / "macros")
    reference = _digest_of(package / "warehouse" / "reference.py", *calendars)
    forecasting = _digest_of(package / "ml")

    def lake_of(name: str) -> str:
        lake = Lake.open(settings)
        objects = [lake.objects(dataset).filter(pl.col("source") == name) for dataset in DATASETS]
        return _digest([frame["path"].to_list() for frame in objects])

    def marts() -> str:
        lakes = [lake_of(name) for name in (source.name, *companions(settings))]
        return _digest(source.name, lakes, models, source.instruments(), reference)

    def rows(*tables: str) -> Callable[[], str]:
        return lambda: _digest(_rows(settings, tables))

    ledger = ("forecasts", "promotions")
    accuracy = ("fct_forecast_accuracy", "agg_accuracy")
    start = max(first, monday(last) - timedelta(weeks=settings.backtest_weeks - 1))
    yield Stage(
        job="ingest",
        asset=dg.AssetKey(["raw", settings.source]),
        partitions=days(first, last),
        inputs=lambda: _digest(settings.source, source.fingerprint(), loading),
        outputs=lambda: lake_of(source.name),
    )
    for name in companions(settings):
        beside = get_source(settings, name)
        yield Stage(
            job=BESIDE,
            asset=dg.AssetKey(["raw", name]),
            partitions=days(*beside.span()),
            inputs=lambda beside=beside: _digest(beside.name, beside.fingerprint(), loading),  # type: ignore[misc]
            outputs=lambda name=name: lake_of(name),  # type: ignore[misc]
        )
    yield Stage(
        job="build_marts",
        asset=dg.AssetKey("fct_features_daily"),
        partitions=None,
        inputs=marts,
        # Whatever else is there is of this stage: a dropped view or an emptied table is made again.
        outputs=lambda: _digest(_rows(settings, (*ledger, *accuracy), others=True)),
    )
    yield Stage(
        job="forecast_week",
        asset=dg.AssetKey("forecasts"),
        partitions=weeks(start, last),
        inputs=lambda: _digest(marts(), forecasting),
        outputs=rows(*ledger),
    )
    yield Stage(
        job="score_forecasts",
        asset=dg.AssetKey("agg_accuracy"),
        partitions=None,
        inputs=lambda: _digest(marts(), _rows(settings, ledger)),
        outputs=rows(*accuracy),
    )


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
    with _stdout_to(log):
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


def _rows(
    settings: Settings, tables: tuple[str, ...], *, others: bool = False
) -> list[tuple[str, int]]:
    """Name and rows of the tables, or of all others; a view has 0."""
    client = connect(settings)
    try:
        return sorted(
            (str(name), int(count or 0))
            for name, count in client.query(
                "SELECT name, total_rows FROM system.tables WHERE database = 'market'"
                " AND (name IN {tables:Array(String)}) != {others:Bool}",
                parameters={"tables": list(tables), "others": others},
            ).result_rows
        )
    finally:
        client.close()


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


def _fail_orphans(settings: Settings, instance: DagsterInstance) -> None:
    """Mark runs of a killed `stock-platform run` as failed; nothing else will.

    The lock is held, so a run with our tag that claims to be going on has lost its process.
    """
    from stock_platform.ml.tracking import end_runs_of

    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        if PID_TAG in run.tags:
            instance.report_run_failed(run, f"process {run.tags[PID_TAG]} was killed")
            end_runs_of(settings, run.run_id)


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    import fcntl

    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise PlatformError(
                f"another run (pid {lock.read().strip() or 'unknown'}) works in {home}: "
                "wait for it, or give this one a STOCK_PLATFORM_HOME of its own"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _stdout_to(log: Path) -> Iterator[None]:
    """Standard output of this process and of dbt goes to the log: ours is for the result."""
    sys.stdout.flush()
    before = os.dup(1)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(before, 1)
            os.close(before)


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()[:32]


def _digest_of(*paths: Path) -> str:
    """Digest of source files: names and contents."""
    files = sorted(
        file
        for path in paths
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in {".py", ".sql", ".yml", ".yaml"}
    )
    content = [(str(file.relative_to(PROJECT_ROOT)), file.read_bytes()) for file in files]
    return _digest(content)


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
