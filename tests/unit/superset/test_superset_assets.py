"""The dashboards hold together, and each way to break them is told by file and field."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from stock_platform.settings import PROJECT_ROOT
from stock_platform.superset import bundle
from stock_platform.superset.bundle import ASSETS, AssetError, load
from stock_platform.superset.compile import PALETTE, files
from stock_platform.superset.contracts import MODELS
from stock_platform.superset.filters import scope
from stock_platform.superset.lineage import dashboards

CONFIGURATION = PROJECT_ROOT / "docker" / "superset" / "superset_config.py"


@pytest.fixture(scope="module")
def whole() -> bundle.Bundle:
    return load()


@pytest.fixture(scope="module")
def compiled(whole: bundle.Bundle) -> dict[str, dict]:
    return {path: yaml.safe_load(text) for path, text in files(whole).items()}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS, tmp_path / "assets"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


SKILL = "charts/accuracy/skill_over_time.yaml"
BROKEN = [
    (SKILL, "metrics: [skill", "metrcis: [skill", "params.metrcis: unknown field"),
    (SKILL, "metrics: [skill", "metrics: [skil", "no metric 'skil': did you mean skill?"),
    (
        SKILL,
        "x_axis: week",
        "x_axis: weak",
        "params.x_axis: .* no column 'weak': did you mean",
    ),
    (SKILL, "dataset: agg_skill", "dataset: agg_skull", "dataset: there is no dataset .*agg_skull"),
    (SKILL, "echarts_timeseries_line", "echarts_line", "viz_type: 'echarts_line' is not known"),
    (SKILL, "description:", "descriptoin:", "descriptoin: unknown field: did you mean description"),
    (SKILL, "params:", "params: [", "not valid YAML"),
    (
        "charts/market/sectors.yaml",
        "{column: sector,",
        "{column: sektor,",
        "params.row_filters: .* no column 'sektor': did you mean sector",
    ),
    (
        "charts/market/movers.yaml",
        "change_5_percent: {",
        "change_6_percent: {",
        "params.column_config: .* no column 'change_6_percent'",
    ),
    (
        "datasets/agg_movers.yaml",
        "turnover, change_1_percent",
        "turn_over, change_1_percent",
        "columns: the dbt model agg_movers has no column 'turn_over': did you mean turnover",
    ),
    (
        "datasets/agg_movers.yaml",
        "countIf(change_1_percent > 0)",
        "countIf(change_percent > 0)",
        "metrics.risen.expression: the dataset has no column 'change_percent'",
    ),
    (
        "datasets/agg_movers.yaml",
        "countIf(change_1_percent > 0)",
        "countIf(change_1_percent > 0",
        "metrics.risen.expression: is no SQL",
    ),
    (
        "datasets/agg_price_history.yaml",
        "time_column: week",
        "time_column: symbol",
        "time_column: 'symbol' holds no dates",
    ),
    (
        "dashboards/accuracy.yaml",
        "{chart: skill_over_time",
        "{chart: skill_over_tme",
        r"rows\[2\]\.cells\[0\]\.chart: there is no chart 'skill_over_tme': did you mean",
    ),
    (
        "dashboards/accuracy.yaml",
        "dataset: fct_forecast_scores",
        "dataset: fct_forecast_score",
        r"filters\[0\]\.dataset: there is no dataset 'fct_forecast_score'",
    ),
    (
        "dashboards/accuracy.yaml",
        "column: symbol",
        "column: ticker",
        r"filters\[1\]\.column: .* no column 'ticker'",
    ),
    ("dashboards/accuracy.yaml", "width: 6}]", "width: 7}]", "cells are 13 wide, a row has 12"),
    ("metadata.yaml", "type: assets", "type: charts", "type: Input should be 'assets'"),
]


@pytest.mark.parametrize(("file", "old", "new", "told"), BROKEN)
def test_what_is_broken_is_told_by_file_and_field(
    copy: Path, file: str, old: str, new: str, told: str
) -> None:
    edit(copy / file, old, new)
    with pytest.raises(AssetError, match=f"{re.escape(file)}.*{told}"):
        load(copy)


def test_an_id_that_is_taken_and_one_that_is_missing(copy: Path) -> None:
    taken = yaml.safe_load((copy / SKILL).read_text())["uuid"]
    other = copy / "charts/accuracy/calibration.yaml"
    own = yaml.safe_load(other.read_text())["uuid"]
    edit(other, own, taken)
    with pytest.raises(AssetError, match=rf"uuid: {taken} is taken by .*: take [0-9a-f-]{{36}}"):
        load(copy)
    edit(other, f"uuid: {taken}\n", "")
    with pytest.raises(AssetError, match=r"calibration.yaml.*uuid: missing.*\(uuid: [0-9a-f-]{36}"):
        load(copy)


def test_what_nobody_shows_or_reads(copy: Path) -> None:
    edit(copy / "dashboards/accuracy.yaml", ", {chart: calibration, width: 4}", "")
    with pytest.raises(AssetError, match=r"charts/accuracy/calibration.yaml: no dashboard shows"):
        load(copy)
    (copy / "charts/accuracy/calibration.yaml").unlink()
    with pytest.raises(AssetError, match=r"datasets/agg_calibration.yaml: no chart reads it"):
        load(copy)


def test_a_column_renamed_in_dbt_is_found(tmp_path: Path) -> None:
    contracts = Path(shutil.copytree(MODELS, tmp_path / "models"))
    described = contracts / "marts" / "market" / "_dashboards.yml"
    edit(described, "name: change_5_percent", "name: change_week_percent")
    with pytest.raises(AssetError, match=r"datasets/agg_movers.yaml, columns: .*change_5_percent"):
        load(contracts=contracts)


def test_all_problems_are_told_at_once(copy: Path) -> None:
    edit(copy / SKILL, "x_axis: week", "x_axis: weak")
    edit(copy / "charts/accuracy/calibration.yaml", "x_axis: level", "x_axis: lvel")
    with pytest.raises(AssetError) as told:
        load(copy)
    assert len(str(told.value).splitlines()) == 3


def test_every_chart_says_what_it_is(whole: bundle.Bundle) -> None:
    for name, chart in whole.charts.items():
        assert chart.slice_name.rstrip().count("?") == 1, name  # a question, then perhaps its unit
    for name, dataset in whole.datasets.items():
        for metric in dataset.metrics.values():
            assert metric.unit, name


def test_live_and_backtest_are_never_mixed(whole: bundle.Bundle) -> None:
    """A page of scores opens on one record, its filter reaches every score and can't be emptied."""
    kinds = {name for name, one in whole.datasets.items() if "kind" in one.columns}
    for page in (whole.dashboards["accuracy"], whole.dashboards["forecasts"]):
        (record,) = [one for one in page.filters if one.name == "Record"]
        assert (record.default, record.required, record.multiple) == (["backtest"], True, False)
        scored = {name for name in page.charts() if whole.charts[name].dataset in kinds}
        alone = {"fct_week_ahead", "agg_forecast_fan"}  # one row an instrument, whatever its kind
        reached = set(scope(whole, page, record))
        assert {n for n in scored - reached if whole.charts[n].dataset not in alone} == set()
    for name in ("fct_forecast_scores", "agg_skill_over_time", "agg_calibration"):
        for metric, one in whole.datasets[name].metrics.items():
            counted = metric in {"forecasts", "weeks"}
            one_instrument = one.expression.startswith("argMin")
            assert counted or one_instrument or "uniqExact(kind) = 1" in one.expression, metric


def test_the_queries_name_what_the_charts_do(compiled: dict[str, dict]) -> None:
    for path, content in compiled.items():
        if not path.startswith("charts/"):
            continue
        context = json.loads(content["query_context"])
        assert content["params"]["color_scheme"] == PALETTE
        for query in context["queries"]:
            assert query["columns"] or query["metrics"], path
    assert f'"id": "{PALETTE}"' in CONFIGURATION.read_text()


def test_filters_leave_out_what_lacks_their_column(
    whole: bundle.Bundle, compiled: dict[str, dict]
) -> None:
    page = whole.dashboards["market"]
    numbers = dict(enumerate(page.charts(), start=1))
    found = compiled["dashboards/market.yaml"]["metadata"]["native_filter_configuration"]
    by_name = {one["name"]: one for one in found}
    left = {numbers[n] for n in by_name["Instrument"]["scope"]["excluded"]}
    assert left == {"sectors", "metals_latest", "metals_rub", "metals_usd"}
    assert {"newest_session", "movers"} <= {
        numbers[n] for n in by_name["Dates"]["scope"]["excluded"]
    }


def test_compiled_twice_is_the_same() -> None:
    assert files(load()) == files(load())


def test_exposures_name_what_the_dashboards_read(whole: bundle.Bundle) -> None:
    exposures = yaml.safe_load((MODELS / "exposures.yml").read_text())["exposures"]
    told = {
        one["name"].removesuffix("_dashboard"): set(re.findall(r"'(\w+)'", str(one["depends_on"])))
        for one in exposures
        if one["type"] == "dashboard"
    }
    assert told == {name: set(datasets) for name, datasets in dashboards().items()}
    assert set(told) == set(whole.dashboards)


def test_lineage_survives_a_broken_file(copy: Path) -> None:
    (copy / SKILL).write_text("params: [")
    assert "agg_skill_over_time" in dashboards(copy)["accuracy"]  # by its sister
    (copy / "charts/accuracy/coverage_over_time.yaml").write_text("{")
    assert "agg_skill_over_time" not in dashboards(copy)["accuracy"]
