"""The same lake with its catalog in AWS Glue and behind the Iceberg REST protocol.

Glue is moto's with its optimistic lock added (tests/support/glue_server.py), REST a server of ours
(tests/support/rest_catalog.py): both say in their headers what that proves.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from stock_platform.cli import checks_settings
from stock_platform.lake import Lake, query
from stock_platform.lake.catalog import NewObject
from stock_platform.lake.catalog_uri import CatalogError, parse
from stock_platform.lake.schema import DATASETS, EQUITY_PRICES
from tests.support.glue_server import aws
from tests.support.lake import MONDAY, Workshop, bar, hour, settings_in
from tests.support.rest_catalog import PREFIX, RestCatalogServer, rest_catalog


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with aws() as address:
        yield address


@pytest.fixture
def rest(tmp_path: Path) -> Iterator[RestCatalogServer]:
    with rest_catalog(tmp_path / "rest") as server:
        yield server


@pytest.fixture
def glue(endpoint: str, tmp_path: Path) -> str:
    """Address of a Glue catalog of the test's own."""
    return f"glue://?endpoint={endpoint}&region=us-east-1&namespace=lake_{tmp_path.name[-20:]}"


@pytest.fixture(params=["glue", "rest"])
def catalog(request: pytest.FixtureRequest) -> str:
    if request.param == "glue":
        return str(request.getfixturevalue("glue"))
    server = request.getfixturevalue("rest")
    return f"rest+http://{server.credential}@{server.address}?warehouse=test"


@pytest.fixture
def in_bucket(endpoint: str, glue: str, tmp_path: Path) -> Workshop:
    """A lake in S3 with its catalog in Glue, as on AWS."""
    import boto3

    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "it's", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="lake-in-glue")
    return Workshop(
        tmp_path / "home",
        lake_url="s3://lake-in-glue/some/prefix",
        s3_endpoint_url=endpoint,
        s3_access_key_id="key",
        s3_secret_access_key="it's",
        catalog_uri=glue,
    )


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lake on disk has no keys of S3 for Glue: boto takes them from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "it's")


def load_revise_and_read_back(workshop: Workshop) -> None:
    workshop.load(bar("AAA"), bar("BBB"))
    workshop.load(bar("AAA", close=11), bar("BBB"), at=hour(1))
    snapshots = workshop.lake.snapshot_ids()
    report = workshop.load(bar("AAA", close=11), bar("BBB"), at=hour(2))
    assert (report.rows_written, report.objects_written) == (0, 0)
    again = Lake.open(workshop.settings)  # another process's view of it
    assert again.snapshot_ids() == snapshots
    assert again.objects("equity_prices").height == 2

    sql = "SELECT symbol, close FROM equity_prices ORDER BY ALL"
    _, rows = query.query(again, workshop.settings, sql)
    assert rows == [("AAA", 10.0), ("AAA", 11.0), ("BBB", 10.0)]
    _, rows = query.query(again, workshop.settings, sql, at=hour(0))
    assert rows == [("AAA", 10.0), ("BBB", 10.0)]
    table = again.catalog.table(DATASETS["equity_prices"])
    scanned = pl.scan_iceberg(table, storage_options=again.store.polars_options())
    assert scanned.collect().height == 3
    assert checks_settings._catalog(workshop.settings).state == "ok"


def test_on_aws(in_bucket: Workshop) -> None:
    load_revise_and_read_back(in_bucket)


def test_with_a_rest_catalog(rest: RestCatalogServer, tmp_path: Path) -> None:
    uri = f"rest+http://{rest.credential}@{rest.address}?warehouse=test&namespace=mine"
    load_revise_and_read_back(Workshop(tmp_path / "home", catalog_uri=uri))
    assert f"POST /v1/{PREFIX}/namespaces/mine/tables/equity_prices" in rest.asked


def test_of_commits_at_once_none_is_lost(catalog: str, aws_keys: None, tmp_path: Path) -> None:
    """Three writers register the same object and one of their own, twice each."""
    settings = settings_in(tmp_path / "home", catalog_uri=catalog)
    Lake.open(settings).catalog.table(EQUITY_PRICES)
    gate = threading.Barrier(3)
    added: list[int] = []
    failures: list[Exception] = []

    def entry(name: str) -> NewObject:
        return NewObject(f"raw/{name}/equity_prices/2024/03/04/data.parquet", MONDAY, 1, 10)

    def write(writer: int) -> None:
        lake = Lake.open(settings)
        for turn in range(2):
            gate.wait()
            try:
                mine = [entry(f"shared_{turn}"), entry(f"own_{writer}_{turn}")]
                added.append(lake.catalog.register(EQUITY_PRICES, mine))
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    paths = Lake.open(settings).objects("equity_prices")["path"]
    assert paths.n_unique() == paths.len() == sum(added) == 2 + 3 * 2


def test_a_commit_without_an_answer_is_asked_after(rest: RestCatalogServer, tmp_path: Path) -> None:
    """The server commits and answers 500: what was to be added is there, and is not added again."""
    uri = f"rest+http://:{rest.token}@{rest.address}"
    local = Workshop(tmp_path / "home", catalog_uri=uri)
    local.lake.snapshot_ids()
    rest.silent_commits = 1
    local.load(bar("AAA"))
    assert local.lake.objects("equity_prices").height == 1
    assert local.closes() == {"AAA": 10.0}
    assert f"POST /v1/{PREFIX}/namespaces/lake/tables/equity_prices" in rest.asked


def test_what_is_wrong_is_named_without_secrets(rest: RestCatalogServer, tmp_path: Path) -> None:
    closed = "127.0.0.1:9"
    for uri, said in {
        f"rest+http://lake:wr0ng@{rest.address}": r"http://lake:\*\*\*@127.*invalid_client",
        f"rest+http://:wr0ng@{rest.address}": r"NotAuthorized",
        f"rest+http://:wr0ng@{closed}": "can't open the lake's catalog at .*127.0.0.1",
        f"glue://?endpoint=http://{closed}": "can't open the lake's catalog at glue",
    }.items():
        settings = settings_in(tmp_path, catalog_uri=uri)
        with pytest.raises(CatalogError, match=said) as caught:
            Lake.open(settings).snapshot_ids()
        assert "wr0ng" not in str(caught.value)
        assert "STOCK_PLATFORM_CATALOG_URI" in str(caught.value)
        check = checks_settings._catalog(settings)
        assert (check.state, "wr0ng" in check.what) == ("fail", False)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("glue://?regoin=eu", "no parameter 'regoin' of a glue catalog, it has endpoint, id, name"),
        ("glue://eu-central-1", "Glue has no host"),
        ("rest+https://", "the host is missing"),
        ("rest+https://a:b@host?token=x", r"a:\*\*\*@host\?token=x: no parameter 'token'"),
    ],
)
def test_a_wrong_address_is_refused_at_once(uri: str, said: str) -> None:
    with pytest.raises(CatalogError, match=said):
        parse(uri)


def test_an_address_says_where_and_who() -> None:
    found = parse("rest+https://id:s%40cret@host:8181/path/?warehouse=w&namespace=prod")
    assert (found.kind, found.namespace) == ("rest", "prod")
    assert found.properties == {
        "uri": "https://host:8181/path",
        "warehouse": "w",
        "credential": "id:s@cret",
        "oauth2-server-uri": "https://host:8181/path/v1/oauth/tokens",
    }
    glue = parse("glue://?region=eu-central-1&id=123")
    assert (glue.namespace, glue.properties) == (
        "lake",
        {"glue.region": "eu-central-1", "glue.id": "123"},
    )


def test_a_lake_on_disk_imports_nothing_of_aws(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stock_platform.lake import Lake;"
        "from stock_platform.settings import Settings;"
        "Lake.open(Settings(home=Path(sys.argv[1]))).snapshot_ids();"
        "print(sorted({'boto3', 'botocore', 'pyiceberg.catalog.rest'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
