"""Training, forecasts and both ledgers on the real sample through the real server and MLflow."""

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from shutil import copyfile

import dagster as dg
import polars as pl
import pytest

from stock_platform.defs.accuracy.checks import beats_the_random_walk
from stock_platform.defs.resources import PlatformResource
from stock_platform.errors import PlatformError
from stock_platform.ml import issue as issue_module
from stock_platform.ml import ledger as ledger_module
from stock_platform.ml import registry as registry_module
from stock_platform.ml import training as training_module
from stock_platform.ml.candidates import all_candidates, by_name
from stock_platform.ml.champion import champion_in, promotions
from stock_platform.ml.features import COLUMNS, FEATURES, origin_rows
from stock_platform.ml.forecasting import forecast_weeks
from stock_platform.ml.issue import backtest_name
from stock_platform.ml.ledger import (
    FORECASTS,
    Census,
    census,
    check_append_only,
    create_tables,
    read,
    select_list,
    write_forecasts,
)
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.registry import Registry, model_name
from stock_platform.ml.reproduce import find_forecast, reproduce
from stock_platform.ml.training import train_weeks
from stock_platform.ml.walk_forward import refit_week
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.universe import Instrument
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.integration.ml.conftest import LAST, QUICK, load_sample, mondays
from tests.support.platform import free_port

WEEKS = mondays(LAST, 30)
MODEL = model_name("sample", "equity")


def ledger_rows(client, source: str) -> pl.DataFrame:
    sql = f"SELECT {select_list(FORECASTS)} FROM market.forecasts WHERE source = {{source:String}}"
    return read(client, sql, FORECASTS, source=source).sort("forecast_id")


@pytest.fixture(scope="module")
def published(trained):
    """The last 30 weeks forecast, once."""
    settings, _ = trained
    client = connect(settings)
    reader = PanelReader.from_warehouse(client)
    report = forecast_weeks(client, Registry(settings), reader, "sample", WEEKS)
    client.close()
    return settings, report


def test_every_week_has_the_champion_and_the_walk_for_every_instrument(published, client):
    _, report = published
    rows = ledger_rows(client, "sample")
    assert report.rows_added == rows.height == 30 * 4 * 5 * 2
    assert rows["forecast_id"].n_unique() == rows.height
    counts = rows.group_by("origin_session", "symbol", "role").len()
    assert counts.height == 30 * 4 * 2
    assert (counts["len"] == 5).all()
    assert set(rows["symbol"]) == {"AAPL", "GOOG", "IBM", "MSFT"}
    assert set(rows.filter(pl.col("role") == "baseline")["model_name"]) == {"random_walk"}
    assert (rows["kind"] == "backtest").all()
    assert (rows["backtest_name"] == backtest_name("sample")).all()
    assert set(report.refusals["reason"]) == {"history_too_short"}
    assert set(report.refusals["symbol"]) == {"FB"}
    assert report.refusals.height == 30
    assert "260 needed" in report.refusals["detail"][0]


def test_an_instrument_that_never_had_a_bar_is_refused_in_every_week(published, client):
    settings, _ = published
    new = Instrument("TEST:NEW", "NEW", "New", "equity", "XNYS", "USD", "", WEEKS[-2])
    reader = PanelReader.from_warehouse(client)
    report = forecast_weeks(
        client, Registry(settings), reader, "sample", WEEKS[-3:], instruments=[new]
    )
    assert report.rows_added == 0
    told = report.refusals.filter(symbol="NEW")
    assert told["week"].to_list() == WEEKS[-2:]
    assert set(told["reason"]) == {"no_bars"}


def test_rows_are_prices_of_the_origin_known_before_the_next_session(published, client):
    rows = ledger_rows(client, "sample")
    assert (rows["as_of"].dt.date() == rows["origin_session"]).all()
    assert (rows["target_session"] > rows["origin_session"]).all()
    last = rows.filter(
        (pl.col("origin_session") == date(2013, 3, 1)) & (pl.col("symbol") == "AAPL")
    )
    assert set(last["origin_price"]) == {430.47}
    week = last.filter((pl.col("horizon") == 5) & (pl.col("role") == "champion"))
    assert week["target_session"][0] == date(2013, 3, 8)
    assert week["q025"][0] < week["q10"][0] < week["q50"][0] < week["q90"][0] < week["q975"][0]
    assert 0.95 < week["q50"][0] / 430.47 < 1.05


def test_again_adds_nothing_and_single_weeks_equal_the_range(published, client):
    settings, _ = published
    before = ledger_rows(client, "sample")
    for weeks in (WEEKS, WEEKS[10:11], WEEKS[25:28]):
        reader = PanelReader.from_warehouse(client)
        report = forecast_weeks(client, Registry(settings), reader, "sample", weeks)
        assert report.rows_added == 0
    assert ledger_rows(client, "sample").equals(before)


def test_training_again_or_one_week_alone_decides_nothing_new(trained, client):
    settings, report = trained
    decided = promotions(client, "sample")
    assert report.decisions["new"].all()
    assert decided["action"][0] == "initial"
    versions = len(Registry(settings).versions("sample"))
    reader = PanelReader.from_warehouse(client)
    again = train_weeks(client, Registry(settings), reader, "sample", mondays(LAST, 20))
    assert again.decisions.height == 2
    assert not again.decisions["new"].any()
    assert promotions(client, "sample").equals(decided)
    assert len(Registry(settings).versions("sample")) == versions


def test_a_decision_carries_its_evidence(trained, client):
    last = promotions(client, "sample").row(-1, named=True)
    evidence = json.loads(last["evidence"])
    assert evidence["weeks"] >= 104
    known = {candidate.name for candidate in all_candidates()}
    assert known == set(evidence["candidates"]) | set(evidence["sat_out"])
    assert set(evidence["sat_out"]) == {"stack"}  # four shares are too few for it
    assert evidence["last_week"] < evidence["refit_week"] <= evidence["as_of"]
    for scores in evidence["candidates"].values():
        assert 0.7 < scores["coverage_80"] < 0.9
        assert 0.99 < scores["mae_over_random_walk"] < 1.02


def test_one_run_per_refit_with_everything_in_it(trained):
    settings, report = trained
    registry = Registry(settings)
    runs = registry.client.search_runs([registry.experiment_id])
    assert len(runs) == report.decisions.height
    assert {run.info.status for run in runs} == {"FINISHED"}
    run = runs[0]
    assert run.info.artifact_uri.startswith(f"{settings.lake_root}/mlflow")
    assert run.data.tags["code_digest"]
    assert "linear/skill" in run.data.metrics
    assert run.data.params["forest/trees"]
    paths = {item.path for item in registry.client.list_artifacts(run.info.run_id, "walk_forward")}
    assert paths == {"walk_forward/folds.csv", "walk_forward/skill_and_coverage.png"}


def test_the_alias_follows_the_last_decision_and_its_model_loads_in_mlflow(trained, client):
    import mlflow

    settings, _ = trained
    registry = Registry(settings)
    last = promotions(client, "sample").row(-1, named=True)
    held = registry.client.get_registered_model(MODEL).aliases
    assert int(held["champion"]) == last["model_version"]
    mlflow.set_tracking_uri(settings.mlflow_tracking)
    mlflow.set_registry_uri(settings.mlflow_tracking)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    rows = origin_rows(PanelReader.from_warehouse(client).read(datetime.now(UTC)), [LAST])
    frame = rows.frame.select(COLUMNS).with_columns(pl.col("session").cast(pl.Datetime("ns")))
    frame = frame.with_columns(pl.col("available_at").dt.replace_time_zone(None))
    frame = frame.with_columns(pl.col(FEATURES).cast(pl.Float64))
    quantiles = model.predict(frame.to_pandas())
    assert len(quantiles) == 4 * 5
    assert (quantiles["q10"] < quantiles["q90"]).all()


def test_filling_in_a_past_week_moves_no_alias(trained, client):
    settings, _ = trained
    held = dict(Registry(settings).client.get_registered_model(MODEL).aliases)
    reader = PanelReader.from_warehouse(client)
    past = [LAST - timedelta(weeks=120)]
    quick = [by_name(name) for name in QUICK]
    report = train_weeks(client, Registry(settings), reader, "sample", past, candidates=quick)
    assert report.decisions["new"].all()
    assert dict(Registry(settings).client.get_registered_model(MODEL).aliases) == held


def test_forecast_before_any_decision_names_the_week_to_train(settings, client):
    reader = PanelReader.from_warehouse(client)
    with pytest.raises(PlatformError, match="training of week 2012-12-17"):
        forecast_weeks(client, Registry(settings), reader, "untrained", [LAST])


def test_a_backtest_is_named_by_the_code_that_made_it(settings, client, monkeypatch):
    registry, weeks = Registry(settings), WEEKS[-3:]
    candidates = [by_name(name) for name in QUICK]
    reader = PanelReader.from_warehouse(client)
    train_weeks(client, registry, reader, "coded", weeks, candidates=candidates)
    first = forecast_weeks(client, registry, reader, "coded", weeks)
    before = backtest_name("coded")
    monkeypatch.setattr(issue_module, "code_digest", lambda: "f" * 64)
    second = forecast_weeks(client, registry, reader, "coded", weeks[1:])
    assert (first.rows_added, second.rows_added) == (3 * 4 * 5 * 2, 2 * 4 * 5 * 2)
    runs = ledger_rows(client, "coded").group_by("backtest_name").agg("code_digest", pl.len())
    named = {row["backtest_name"]: row for row in runs.rows(named=True)}
    assert set(named) == {before, "coded-ffffffff"}
    assert all(len(set(row["code_digest"])) == 1 for row in named.values())


def test_the_record_is_judged_by_the_backtest_of_the_code_that_runs(home, client, monkeypatch):
    monkeypatch.setenv("STOCK_PLATFORM_HOME", str(home.home))
    monkeypatch.setenv("STOCK_PLATFORM_WAREHOUSE_PORT", str(home.warehouse_port))
    monkeypatch.setenv("STOCK_PLATFORM_SOURCE", "simulated")
    checks = dg.Definitions(
        asset_checks=[beats_the_random_walk], resources={"platform": PlatformResource()}
    )

    def judged() -> tuple[bool, str | None]:
        job = checks.resolve_implicit_global_asset_job_def()
        (found,) = job.execute_in_process().get_asset_check_evaluations()
        return found.passed, found.description

    columns = "instrument_id kind backtest_name origin_session horizon pinball_loss"
    names = [*columns.split(), "baseline_pinball_loss"]
    for name, loss in (("simulated-00000000", 0.5), (backtest_name("simulated"), 2.0)):
        row = ["X", "backtest", name, LAST, 5, loss, 1.0]
        client.insert("fct_forecast_accuracy", [row], column_names=names)
        if loss < 1:
            assert judged() == (False, "No forecast of this code has matured yet.")
    passed, description = judged()
    assert not passed
    assert "-100.00%" in description
    assert "1 weeks" in description


def test_reproduce_rebuilds_rows_and_notices_an_altered_number(published, client):
    settings, report = published
    reader = PanelReader.from_warehouse(client)
    for forecast_id in report.forecasts["forecast_id"].sample(5, seed=1):
        row = find_forecast(client, forecast_id[:16])
        result = reproduce(Registry(settings), reader, row)
        assert result.matches
        assert result.same_code
        edited = reproduce(Registry(settings), reader, {**row, "q50": row["q50"] * 1.000001})
        assert set(edited.differences) == {"q50"}
    with pytest.raises(PlatformError, match="no row"):
        find_forecast(client, "0123456789abcdef")


def test_a_lost_or_altered_artifact_is_named(published, settings, client):
    _, report = published
    row = find_forecast(client, report.forecasts["forecast_id"][0])
    with pytest.raises(PlatformError, match="registry has no model with digest"):
        reproduce(Registry(settings), PanelReader.from_warehouse(client), row)


def test_live_forecast_checks_the_clock_the_deadline_and_the_alias(published, client):
    settings, _ = published
    registry = Registry(settings)
    backtest = PanelReader.from_warehouse(client)
    with pytest.raises(PlatformError, match="live goes with known_at"):
        forecast_weeks(client, registry, backtest, "sample", [LAST], kind="live")
    late = PanelReader.from_warehouse(client, "known_at", datetime(2013, 3, 4, 15, tzinfo=UTC))
    with pytest.raises(PlatformError, match="too late"):
        forecast_weeks(client, registry, late, "sample", [LAST], kind="live")
    now = PanelReader.from_warehouse(client, "known_at", datetime(2013, 3, 2, tzinfo=UTC))
    report = forecast_weeks(client, registry, now, "sample", [LAST], kind="live")
    assert report.rows_added == 4 * 5 * 2
    assert set(report.forecasts["backtest_name"]) == {""}
    moment = datetime(2013, 3, 2, tzinfo=UTC)
    champion = champion_in(promotions(client, "sample"), "equity", moment)
    other = next(v for v in registry.versions("sample") if v["version"] != champion.version)
    registry.client.set_registered_model_alias(MODEL, "champion", str(other["version"]))
    with pytest.raises(PlatformError, match="somebody moved it"):
        forecast_weeks(client, registry, now, "sample", [LAST], kind="live")
    registry.client.set_registered_model_alias(MODEL, "champion", str(champion.version))


def test_two_runs_that_race_write_once(published, client):
    settings, report = published
    rows = report.forecasts.with_columns(
        source=pl.lit("race"), forecast_id=pl.lit("race") + pl.col("forecast_id")
    )
    gate = threading.Barrier(3)
    errors: list[BaseException] = []

    def write():
        connection = connect(settings)
        try:
            gate.wait()
            write_forecasts(connection, rows)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = ledger_rows(client, "race")
    assert found.height == rows.height
    assert found["forecast_id"].n_unique() == rows.height


def test_that_race_doubles_rows_without_the_deduplication_token(published, client, monkeypatch):
    _, report = published
    rows = report.forecasts.head(10).with_columns(
        source=pl.lit("naive"), forecast_id=pl.lit("naive") + pl.col("forecast_id")
    )
    from stock_platform.ml import ledger

    monkeypatch.setattr(ledger, "_known_ids", lambda client, frame: set())
    write_forecasts(client, rows)
    write_forecasts(client, rows)
    assert ledger_rows(client, "naive").height == 10
    numbers = iter(range(10))
    monkeypatch.setattr(ledger, "digest_of", lambda *ids: str(next(numbers)))
    write_forecasts(client, rows)
    assert ledger_rows(client, "naive").height == 20


def test_a_truncated_or_edited_ledger_is_noticed(tmp_path):
    settings = Settings(home=tmp_path, warehouse_port=free_port())
    with ensure_running(settings):
        client = connect(settings)
        create_tables(client)
        row = dict.fromkeys(FORECASTS, "") | {"issued_at": datetime(2020, 1, 1, tzinfo=UTC)}
        row |= {name: 0 for name, kind in FORECASTS.items() if "Int" in kind or "Float" in kind}
        row |= {n: date(2020, 1, 3) for n, kind in FORECASTS.items() if kind == "Date"}
        row["as_of"] = row["issued_at"]
        rows = pl.DataFrame([{**row, "forecast_id": str(i)} for i in range(20)])
        write_forecasts(client, rows)
        now = datetime.now(UTC)
        held = census(client, now)
        assert held.rows == 20
        check_append_only(client, now, held)
        client.command(
            "ALTER TABLE forecasts UPDATE q50 = 1 WHERE forecast_id = '7' "
            "SETTINGS mutations_sync = 2"
        )
        with pytest.raises(PlatformError, match=r"market\.forecasts was altered: 20 rows"):
            check_append_only(client, now, held)
        client.command("TRUNCATE TABLE forecasts")
        with pytest.raises(PlatformError, match="20 rows issued before"):
            check_append_only(client, now, held)
        assert census(client, now) == Census(0, "0")
        client.close()


def state(settings: Settings) -> tuple:
    """Everything that must be the same after a kill and a re-run, moments of issue aside."""
    client = connect(settings)
    rows = ledger_rows(client, "sample").drop("issued_at", "code_version")
    decided = promotions(client, "sample").drop("decided_at")
    client.close()
    registry = Registry(settings)
    runs = registry.client.search_runs([registry.experiment_id])
    described = sorted((r.info.run_name, r.info.status, len(r.data.metrics)) for r in runs)
    return rows.rows(), decided.rows(), registry.versions("sample"), described


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


KILLS = {
    "between artifact and version": (registry_module, "write_model", 2),
    "between version and metrics": (registry_module, "log_refit", 1),
    "between registry and ledger": (training_module, "write_promotion", 1),
    "between two weeks": (ledger_module, "_insert", 5),
}


def run_everything(settings: Settings) -> None:
    weeks = mondays(LAST, 12)
    client = connect(settings)
    registry = Registry(settings)
    reader = PanelReader.from_warehouse(client)
    candidates = [by_name(name) for name in QUICK]
    train_weeks(client, registry, reader, "sample", weeks, candidates=candidates)
    forecast_weeks(client, registry, reader, "sample", weeks)
    client.close()


def dies_on_call(number: int, function):
    calls = itertools.count(1)

    def call(*args, **kwargs):
        if next(calls) == number:
            raise Killed
        return function(*args, **kwargs)

    return call


@pytest.mark.slow
def test_ended_anywhere_and_run_again_ends_as_an_undisturbed_run(
    tmp_path, empty_registry, monkeypatch
):
    states = []
    for name, kills in (("undisturbed", {}), ("killed", KILLS)):
        settings = Settings(home=tmp_path / name, warehouse_port=free_port())
        with ensure_running(settings):
            copyfile(empty_registry, settings.home / "mlflow.db")
            client = connect(settings)
            load_sample(client)
            client.close()
            for where, attribute, number in kills.values():
                with monkeypatch.context() as patch:
                    function = getattr(where, attribute)
                    patch.setattr(where, attribute, dies_on_call(number, function))
                    with pytest.raises(Killed):
                        run_everything(settings)
            run_everything(settings)
            states.append(state(settings))
    for undisturbed, killed in zip(*states, strict=True):
        assert undisturbed == killed


PROGRAM = """
import sys
from stock_platform.settings import Settings
from tests.integration.ml.test_ml_pipeline import run_everything
run_everything(Settings(home=sys.argv[1], warehouse_port=int(sys.argv[2])))
"""


@pytest.mark.slow
def test_kill_9_of_the_process_and_a_rerun(tmp_path):
    """The real signal, at an arbitrary moment: while the registry's database is being made."""
    settings = Settings(home=tmp_path, warehouse_port=free_port())
    with ensure_running(settings):
        client = connect(settings)
        load_sample(client)
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(settings.home), str(settings.warehouse_port)],
            cwd=PROJECT_ROOT,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".mlflow-*/new.db")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "mlflow.db").exists()
        run_everything(settings)
        rows = ledger_rows(client, "sample")
        client.close()
    assert rows.height == rows["forecast_id"].n_unique() == 12 * 4 * 5 * 2


def test_a_refit_out_of_turn_is_decided_once_and_speaks_from_then_on(settings, client):
    """What `refit_on_drift` asks for: the week's own refit, beside the calendar's."""
    reader, registry = PanelReader.from_warehouse(client), Registry(settings)
    quick = [by_name(name) for name in QUICK]
    week = next(week for week in WEEKS[-8:] if refit_week(week) != week)
    for new in (True, False):
        report = train_weeks(
            client, registry, reader, "drifted", [week], candidates=quick, refit_all=True
        )
        assert report.decisions["refit_week"].to_list() == [refit_week(week), week]
        assert report.decisions["new"].to_list() == [new, new]
    moment = reader.decision_time(week)
    decided = promotions(client, "drifted")
    assert decided.height == 2
    assert decided["data_as_of"][1] == moment
    assert champion_in(decided, "equity", moment) is not None
