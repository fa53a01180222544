"""`models list|promote|rollback` and `reproduce` as a user types them."""

import json

import pytest
import typer
from typer.testing import CliRunner

from stock_platform.cli import models
from stock_platform.ml.candidates import by_name
from stock_platform.ml.champion import promotions
from stock_platform.ml.forecasting import forecast_weeks
from stock_platform.ml.panel_reader import PanelReader
from stock_platform.ml.registry import MODEL, Registry
from stock_platform.ml.training import train_weeks
from tests.integration.ml.conftest import LAST, QUICK, mondays


@pytest.fixture
def run(settings, monkeypatch):
    app = typer.Typer()
    models.register(app)
    monkeypatch.setattr(
        models, "load_settings", lambda: settings.model_copy(update={"source": "files"})
    )
    return lambda *arguments: CliRunner().invoke(app, arguments)


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
    assert "no version 999" in str(unknown.exception)

    done = run(
        "models", "promote", str(linear["version"]), "--why", "a try", "--who", "ann", "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)[0]["actor"] == "ann"
    held = registry.client.get_registered_model(MODEL).aliases
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
