"""`stock-platform backtest` on files."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from stock_platform.cli import app
from stock_platform.errors import PlatformError
from stock_platform.ml.quantiles import COLUMN_NAMES
from tests.support.weekly import waves


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("panel") / "prices.parquet"
    waves(symbols=22, years=6).write_parquet(path)
    return path


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, ["backtest", *arguments], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_the_file_has_the_promised_columns_and_the_table_names_every_model(
    prices: Path, tmp_path: Path
) -> None:
    out = tmp_path / "forecasts.parquet"
    arguments = ("--prices", str(prices), "--from", "2012-01-01", "--to", "2012-12-31")
    printed = run(*arguments, "--out", str(out), "--refit-weeks", "52")
    rows = pl.read_parquet(out)
    fifths = [f"p_quintile_{fifth}" for fifth in range(1, 6)]
    assert rows.columns == [
        "symbol", "origin", "target", "origin_price", *COLUMN_NAMES, "p_up", "rank_score", *fifths,
    ]  # fmt: skip
    assert rows.height == 22 * 52
    assert rows.null_count().sum_horizontal().item() == 0
    for name in ("random_walk", "ewma", "har", "stack", "champion", "rank IC"):
        assert name in printed
    assert list(tmp_path.iterdir()) == [out]
    told = tmp_path / "metrics.json"
    run(*arguments, "--out", str(out), "--refit-weeks", "52", "--metrics", str(told))
    assert pl.read_parquet(out).equals(rows)
    metrics = json.loads(told.read_text())
    models = {row["model"]: row for row in metrics["models"]}
    assert {"random_walk", "ewma", "har", "champion"} <= models.keys()  # the stack sat out
    for row in models.values():
        assert row["crps"] == pytest.approx(2 * row["pinball"], rel=0.1)
        assert 0.7 < row["mase"] < 1.4
    median = (rows["q50"] / rows["origin_price"] - 1).abs().max()
    assert isinstance(median, float)
    assert abs(models["champion"]["mae_over_random_walk"] - 1) < median
    assert metrics["ranking"]["weeks"] == 52
    assert metrics["champion_by_year"][0]["year"] == 2012
    assert {row["champion"] for row in metrics["decisions"]} <= models.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--prices": "nowhere.parquet"}, "there is no file nowhere.parquet"),
        ({"--out": "nowhere/out.parquet"}, "there is no folder nowhere"),
        ({"--from": "2013-01-01"}, "--from 2013-01-01 lies after --to 2012-12-31"),
        ({"--prices": __file__}, "can't be read as Parquet"),
        ({"--from": "2008-01-02", "--to": "2008-03-01"}, "nothing can be forecast between"),
    ],
)
def test_what_cannot_be_done_is_told_and_writes_nothing(
    prices: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    out = tmp_path / "forecasts.parquet"
    options = {"--prices": str(prices), "--from": "2012-01-01", "--to": "2012-12-31"}
    options |= {"--out": str(out)} | change
    with pytest.raises(PlatformError, match=message):
        run(*(word for pair in options.items() for word in pair))
    assert list(tmp_path.iterdir()) == []
