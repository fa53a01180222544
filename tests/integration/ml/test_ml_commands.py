"""`models list|promote|rollback` and `reproduce` as a user types them."""

import json
from datetime import UTC, date, datetime

import polars as pl
import pytest
import typer
from typer.testing import CliRunner

from stock_platform.cli import models
from stock_platform.cli.run import latest_forecasts
from stock_platform.ml import training
from stock_platform.ml.candidates import by_name
from stock_platform.ml.candidates.base import Candidate, NotEnoughHistoryError
from stock_platform.ml.champion import champion_in, promotions
from stock_platform.ml.features import Panel
from stock_platform.ml.forecasting import forecast_weeks
from stock_platform.ml.gate import Verdict
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.registry import Registry, model_name
from stock_platform.ml.training import train_weeks
from tests.integration.ml.conftest import LAST, QUICK, mondays


@pytest.fixture
def run(settings, monkeypatch):
    app = typer.Typer()
    models.register(app)

    def invoke(*arguments: str, source: str = "files"):
        chosen = settings.model_copy(update={"source": source})
        monkeypatch.setattr(models, "load_settings", lambda: chosen)
        return CliRunner().invoke(app, arguments)

    return invoke


def test_list_promote_rollback_and_reproduce(run, settings, client):
    registry = Registry(settings)
    weeks = mondays(LAST, 3)
    reader = PanelReader.from_warehouse(client)
    candidates = [by_name(name) for name in (*QUICK, "linear")]
    train_weeks(client, registry, reader, "files", weeks, candidates=candidates)
    forecast_weeks(client, registry, reader, "files", weeks)

    listed = json.loads(run("models", "list", "--json").output)
    assert {row["candidate"] for row in listed} >= {"random_walk", "linear", "ewma"}
    champion = next(row for row in listed if "champion" in row["aliases"])
    assert champion["candidate"] == "random_walk_calibrated"
    linear = next(row for row in listed if row["candidate"] == "linear")

    nobody = run("models", "promote", str(linear["version"]), "--why", " ")
    assert "needs who and why" in str(nobody.exception)
    unknown = run("models", "promote", "999", "--why", "x")
    assert "source 'files' has no version 999" in str(unknown.exception)

    done = run(
        "models", "promote", str(linear["version"]), "--why", "a try", "--who", "ann", "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)[0]["actor"] == "ann"
    held = registry.client.get_registered_model(model_name("files", "equity")).aliases
    assert int(held["champion"]) == linear["version"]
    # It takes effect in the next forecast and not in past weeks.
    added = forecast_weeks(client, registry, PanelReader.from_warehouse(client), "files", weeks)
    assert added.rows_added == 4 * 5
    assert set(added.forecasts.filter(role="champion")["model_name"]) == {
        "linear",
        "random_walk_calibrated",
    }

    back = run("models", "rollback", "--why", "no good", "--who", "ann", "--json")
    assert back.exit_code == 0, back.output
    assert json.loads(back.output)[0]["model_name"] == "random_walk_calibrated"
    added = forecast_weeks(client, registry, PanelReader.from_warehouse(client), "files", weeks)
    assert added.rows_added == 0
    assert set(added.forecasts.filter(role="champion")["model_name"]) == {"random_walk_calibrated"}

    decisions = promotions(client, "files")
    assert decisions["action"].to_list() == ["initial", "promote", "rollback"]
    shown = run("models", "list", "--decisions")
    assert "no good" in shown.output

    forecast_id = added.forecasts["forecast_id"][0]
    answer = json.loads(run("reproduce", forecast_id, "--json").output)[0]
    assert answer["matches"]
    assert "as published" in run("reproduce", forecast_id).output


def two_pools(client) -> PanelReader:
    """The sample with IBM as a metal: both pools have data."""
    reader = PanelReader.from_warehouse(client)

    def read(moment: datetime) -> Panel:
        kind = pl.when(symbol="IBM").then(pl.lit("metal")).otherwise("asset_class")
        return Panel(reader.read(moment).frame.with_columns(asset_class=kind))

    return PanelReader(read, reader.weeks)


def test_a_version_of_another_source_or_pool_is_refused(run, settings, client):
    registry = Registry(settings)
    for source, names in (("here", QUICK), ("there", [*QUICK, "linear"])):
        candidates = [by_name(name) for name in names]
        train_weeks(client, registry, two_pools(client), source, [LAST], candidates=candidates)
    listed = {
        source: json.loads(run("models", "list", "--json", source=source).output)
        for source in ("here", "there")
    }
    for source, rows in listed.items():
        assert {row["source"] for row in rows} == {source}
        assert {row["pool"] for row in rows} == {"equity", "metal"}
    linear = next(r for r in listed["there"] if (r["candidate"], r["pool"]) == ("linear", "metal"))
    refused = run(
        "models", "promote", str(linear["version"]), "--pool", "metal", "--why", "x", source="here"
    )
    assert str(refused.exception) == (
        "source 'here' has no version 4 in pool 'metal', it has 1 to 3 (`stock-platform models "
        "list`); a version 4 is of source 'there', pool 'equity' and source 'there', pool 'metal': "
        "set STOCK_PLATFORM_SOURCE and --pool to promote it there"
    )
    unknown = run("models", "promote", "1", "--pool", "fx", "--why", "x", source="here")
    assert "no registered model in pool 'fx', it has equity, metal" in str(unknown.exception)
    nothing = run("models", "promote", "1", "--why", "x", source="nowhere")
    assert "no registered model: train a week first" in str(nothing.exception)
    for source in ("here", "there"):
        assert set(promotions(client, source)["action"]) == {"initial"}

    # The same number is another model in another pool.
    for pool in ("equity", "metal"):
        done = run("models", "promote", "3", "--pool", pool, "--why", "x", "--json", source="here")
        (row,) = json.loads(done.output)
        own = next(r for r in listed["here"] if (r["version"], r["pool"]) == (3, pool))
        assert (row["source"], row["pool"]) == ("here", pool)
        assert row["model_digest"] == own["model_digest"]


def test_a_rollback_takes_effect_in_the_next_forecast_and_shows_who_speaks(run, settings, client):
    registry, weeks, source = Registry(settings), mondays(LAST, 3), "rolled"

    def forecast(*chosen: date) -> list[str]:
        """Champions that speak in the weeks; what the printed table then says is the last."""
        reader = PanelReader.from_warehouse(client)
        made = forecast_weeks(client, registry, reader, source, chosen).forecasts
        speaking = made.filter(pl.col("role") == "champion").sort("origin_session")
        assert {row["model"] for row in latest_forecasts(client, source)} == {
            speaking["model_name"][-1]
        }
        return speaking["model_name"].unique(maintain_order=True).to_list()

    train_weeks(
        client, registry, PanelReader.from_warehouse(client), source, weeks,
        candidates=[by_name(name) for name in QUICK],
    )  # fmt: skip
    assert forecast(weeks[0]) == ["random_walk_calibrated"]
    done = run("models", "promote", "3", "--why", "a try", source=source)
    assert done.exit_code == 0, done.output
    assert forecast(weeks[1]) == ["ewma"]
    back = run("models", "rollback", "--why", "no good", source=source)
    assert back.exit_code == 0, back.output
    assert forecast(weeks[2]) == ["random_walk_calibrated"]
    again = run("models", "rollback", "--why", "further", source=source)
    assert "nothing to go back to" in str(again.exception)

    # The week of the rollback, issued again, holds both; a promotion and back adds nothing more.
    assert forecast(*weeks[1:]) == ["random_walk_calibrated"]
    assert run("models", "promote", "3", "--why", "again", source=source).exit_code == 0
    assert forecast(weeks[2]) == ["ewma"]
    assert run("models", "rollback", "--why", "no", source=source).exit_code == 0
    assert forecast(weeks[2]) == ["random_walk_calibrated"]
    counts = client.query(
        "SELECT origin_session, model_name, count() FROM market.forecasts"
        " WHERE source = 'rolled' AND role = 'champion' GROUP BY ALL ORDER BY ALL"
    ).result_rows
    assert [(name, rows) for _, name, rows in counts] == [
        ("random_walk_calibrated", 20),
        ("ewma", 20),
        ("random_walk_calibrated", 20),
        ("ewma", 20),
        ("random_walk_calibrated", 20),
    ]


class Absent(Candidate):
    """`ewma` in a refit for which it has not enough history."""

    name = "ewma"
    params = by_name("ewma").params

    def fit(self, panel, as_of):
        raise NotEnoughHistoryError("too few weeks for a test")

    def predict(self, arrays, rows):
        raise AssertionError("it was never fitted")


def test_a_champion_that_sits_a_refit_out_speaks_on_and_training_stays_green(run, settings, client):
    registry, source = Registry(settings), "sitting"
    weeks = mondays(LAST, 12)

    def train(week, *candidates):
        reader = PanelReader.from_warehouse(client)
        return train_weeks(
            client, registry, reader, source, [week], candidates=candidates, refit_all=True
        ).decisions.filter(pl.col("refit_week") == week)

    quick = [by_name(name) for name in QUICK]
    train(weeks[0], *quick)
    assert run("models", "promote", "3", "--why", "a try", source=source).exit_code == 0
    held = champion_in(promotions(client, source), "equity", datetime.now(UTC))
    assert held.name == "ewma"

    decided = train(weeks[-1], *quick[:2], Absent()).row(0, named=True)
    assert (decided["action"], decided["champion"]) == ("refuse", "ewma")
    assert "could not be scored on these weeks (too few weeks for a test)" in decided["reason"]
    assert champion_in(promotions(client, source), "equity", datetime.now(UTC)) == held
    reader = PanelReader.from_warehouse(client)
    made = forecast_weeks(client, registry, reader, source, weeks[-1:]).forecasts
    assert set(made.filter(role="champion")["model_digest"]) == {held.digest}


def test_a_rollback_stands_when_the_refit_week_is_trained_again(run, settings, client, monkeypatch):
    """By the same code, which decides nothing new, and by other code, which decides once more."""
    registry, source = Registry(settings), "again"
    monkeypatch.setattr(training, "decide", lambda *_: Verdict("promote", "ewma", "ewma", "better"))

    def train():
        reader, quick = PanelReader.from_warehouse(client), [by_name(name) for name in QUICK]
        found = train_weeks(client, registry, reader, source, [LAST], candidates=quick,
                            refit_all=True).decisions  # fmt: skip
        return found.filter(pl.col("refit_week") == LAST).row(0, named=True)

    def speaking():
        reader = PanelReader.from_warehouse(client)
        made = forecast_weeks(client, registry, reader, source, [LAST]).forecasts
        held = registry.client.get_registered_model(model_name(source, "equity")).aliases
        name = made.filter(role="champion")["model_name"].unique().item()
        assert registry.version(source, "equity", int(held["champion"])).name == name
        return name

    reader = PanelReader.from_warehouse(client)
    with monkeypatch.context() as patch:
        walk = "random_walk_calibrated"
        patch.setattr(training, "decide", lambda *_: Verdict("initial", walk, "", "first"))
        train_weeks(client, registry, reader, source, mondays(LAST, 3)[:1],
                    candidates=[by_name(name) for name in QUICK])  # fmt: skip
    assert train()["action"] == "promote"
    assert speaking() == "ewma"
    done = run("models", "rollback", "--why", "no good", "--who", "ann", source=source)
    assert done.exit_code == 0, done.output
    assert speaking() == walk

    decided = promotions(client, source)
    assert not train()["new"]
    assert promotions(client, source).equals(decided)
    assert speaking() == walk

    monkeypatch.setattr(training, "code_digest", lambda: "f" * 64)
    row = train()
    assert row["new"]
    assert (row["action"], row["champion"]) == ("refuse", walk)
    assert "rollback to random_walk_calibrated version" in row["reason"]
    assert "by ann" in row["reason"]
    assert speaking() == walk
