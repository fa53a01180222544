"""The dbt project itself: everything documented, everything tested, the environment complete."""

import json
import re
from pathlib import Path

import pytest

from stock_platform.lake.schema import DATASETS
from stock_platform.ml.features import COLUMNS
from stock_platform.settings import PROJECT_ROOT, Settings
from stock_platform.warehouse import dbt_env
from stock_platform.warehouse.client import Address

PROJECT = PROJECT_ROOT / "dbt"
PARAMETERISED = {
    "int_features_as_of",
    "int_bars_as_of",
}  # can't be selected from without parameters


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict:
    from dbt.cli.main import dbtRunner

    folder = tmp_path_factory.mktemp("dbt")
    arguments = ["parse", "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--quiet"]
    arguments += ["--target-path", str(folder), "--log-path", str(folder)]
    parsed = dbtRunner().invoke(arguments)
    assert parsed.success, parsed.exception
    return json.loads((folder / "manifest.json").read_text())


def models(manifest: dict) -> dict[str, dict]:
    return {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}


def test_every_model_and_column_is_described_and_typed(manifest: dict) -> None:
    for name, node in models(manifest).items():
        assert node["description"], name
        assert node["columns"] or name in PARAMETERISED, name
        for column in node["columns"].values():
            assert column["description"], f"{name}.{column['name']}"
            assert column["data_type"], f"{name}.{column['name']}"


def test_every_mart_has_an_enforced_contract(manifest: dict) -> None:
    marts = {
        name: n for name, n in models(manifest).items() if name.startswith(("dim", "fct", "agg"))
    }
    assert len(marts) == 32
    assert [name for name, n in marts.items() if not n["config"]["contract"]["enforced"]] == []


def test_every_mart_is_read_by_somebody(manifest: dict) -> None:
    """A dashboard, a page or the model: a mart that no exposure names has no reason to be built."""
    exposures = manifest["exposures"].values()
    assert {exposure["owner"]["name"] for exposure in exposures} == {"data-platform"}
    read = {node.rsplit(".", 1)[1] for one in exposures for node in one["depends_on"]["nodes"]}
    marts = {name for name in models(manifest) if name.startswith(("dim", "fct", "agg"))}
    assert marts - read == set()


def test_every_model_has_a_key_that_is_tested(manifest: dict) -> None:
    tested = {
        node["attached_node"].rsplit(".", 1)[1]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node["name"].startswith("unique_key_")
    }
    assert set(models(manifest)) - PARAMETERISED == tested


def test_every_number_with_a_dimension_says_its_unit(manifest: dict) -> None:
    """Prices name their currency, volumes their shares."""
    for name, node in models(manifest).items():
        for column in node["columns"].values():
            if re.match(r"(open|high|low|close)(_traded)?$", column["name"]):
                assert "currency per share" in column["description"], f"{name}.{column['name']}"
            if column["name"].startswith("volume"):
                assert "shares" in column["description"], f"{name}.{column['name']}"


def test_staging_has_exactly_the_columns_of_the_lake(manifest: dict) -> None:
    for dataset, shape in DATASETS.items():
        found = list(models(manifest)[f"stg_{dataset}"]["columns"])
        assert found == [*shape.columns, "object_path"]


def test_features_have_the_columns_that_models_read(manifest: dict) -> None:
    assert set(models(manifest)["fct_features_daily"]["columns"]) == set(COLUMNS)


def test_the_environment_names_every_variable_that_dbt_reads(monkeypatch, tmp_path: Path) -> None:
    address = Address("h", 1, True, "u", "warehouse-password", "")
    monkeypatch.setattr(dbt_env, "address", lambda settings: address)
    settings = Settings(
        home=tmp_path, lake_url="s3://b/p", s3_access_key_id="k", s3_secret_access_key="s3-secret"
    )
    found = dbt_env.dbt_environment(settings, "run-1")
    files = [*PROJECT.glob("*.yml"), *(PROJECT / "macros").rglob("*.sql")]
    read = {name for f in files for name in re.findall(r"env_var\('(\w+)'", f.read_text())}
    assert read - set(found) == set()
    assert found["DBT_CLICKHOUSE_SECURE"] == "True"
    assert found["DBT_LAKE_ROOT"] == "s3://b/p"
    assert found["DBT_S3_ENDPOINT"] == "https://s3.us-east-1.amazonaws.com"
    # Whatever is secret is also in a variable that dbt blots out of its logs.
    blotted = {value for name, value in found.items() if name.startswith("DBT_ENV_SECRET_")}
    assert blotted == {"warehouse-password", "s3-secret"}
