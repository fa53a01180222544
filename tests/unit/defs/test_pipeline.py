"""What `stock-platform run` says, without running anything."""

from datetime import date
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from stock_platform.defs import pipeline
from stock_platform.settings import Settings
from stock_platform.universe import Instrument


def test_a_sources_notes_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bars.csv").write_text(
        "symbol,date,open,high,low,close,volume\n"
        "A,2024-01-02,1,1,1,1,1\nA,2024-01-03,1,1,1,1,1\nA,2024-01-04,1,1,1,n/a,1\n"
    )
    (tmp_path / "files.yaml").write_text(
        "files: bars.csv\ncolumns: {symbol: symbol, date: date, open: open, high: high, low: low, "
        "close: close, volume: volume}\nbasis: traded\ncurrency: USD\ncalendar: XNYS\n"
    )
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(pipeline, "connect", lambda _: SimpleNamespace(close=lambda: None))
    brought = []
    monkeypatch.setattr(
        pipeline,
        "_bring_up_to_date",
        lambda stage, *_: brought.append(stage.inputs() if stage.job == "ingest" else stage.job),
    )
    settings = Settings(home=tmp_path / "home", source="files", files_path=tmp_path)
    told = pipeline.run_pipeline(settings)
    assert (told.week, told.reasons) == (None, {})
    assert [i.symbol for i in told.instruments] == ["A"]
    assert len(brought) == 4
    assert capsys.readouterr().err == "files: 1 row rejected (listed in coverage)\n"


def test_refusals_are_of_the_newest_week_with_an_origin_and_say_which() -> None:
    asset = dg.AssetKey("forecasts")
    weeks: dict[str, dict[str, object]] = {
        "2024-01-01": {"refusals": dg.MetadataValue.json({"AAA": "history_too_short: 4 bars"})},
        "2024-01-08": {"reason": "no_data: no bar on the last session of this week"},
    }
    stage = pipeline.Stage("forecast_week", asset, list(weeks), str, str)
    listed = [
        Instrument(symbol, symbol, symbol, "equity", "XNYS", "USD", "", date(2020, 1, 2), last)
        for symbol, last in (("AAA", None), ("GONE", date(2023, 12, 29)))
    ]
    source = SimpleNamespace(instruments=lambda: listed)
    with dg.DagsterInstance.ephemeral() as instance:
        for week, metadata in weeks.items():
            event = dg.AssetMaterialization(asset, partition=week, metadata=metadata)
            instance.report_runless_asset_event(event)
        told = pipeline._refusals(stage, instance, source)  # type: ignore[arg-type]
    assert (told.week, told.reasons) == (date(2024, 1, 1), {"AAA": "history_too_short: 4 bars"})
    assert [i.symbol for i in told.instruments] == ["AAA"]  # the other had ended


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            (
                "The dbt CLI process with command\n\n`dbt build --select a b`\n\nfailed with exit"
                " code `2`. Check the stdout in the Dagster compute logs for the full information,"
                " or view the dbt debug log: /x/dbt.log\n\nErrors parsed from dbt logs:\n\n"
                "\x1b[31mFailure in test no_gap\x1b[0m\n  Got 5 results"
            ),
            "Failure in test no_gap\n  Got 5 results",
        ),
        (
            (
                "HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded (Caused by "
                "NewConnectionError('[Errno 111] Connection refused'))"
            ),
            "the warehouse stopped in the middle of it (its log is in HOME/warehouse)",
        ),
        ("  week_ahead_model: no champion ", "week_ahead_model: no champion"),
    ],
    ids=["dbt", "warehouse", "other"],
)
def test_a_failure_is_told_without_what_nobody_can_use(message: str, said: str) -> None:
    assert pipeline._plain(message) == said
