"""The same lake on an S3 server over HTTP."""

import threading

import boto3
import polars as pl
import pytest

from stock_platform.lake import Lake, query
from stock_platform.lake.schema import DATASETS
from stock_platform.lake.store import StoreError, open_store
from stock_platform.lake.store_s3 import S3Store
from tests.support.engines import clickhouse
from tests.support.lake import MONDAY, Workshop, bar, hour, rejected

KEY = "raw/said/equity_prices/2024/03/04/data.parquet"


@pytest.fixture(scope="module")
def endpoint():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def remote(endpoint, tmp_path, request) -> Workshop:
    """A lake in a bucket of its own."""
    bucket = f"b-{abs(hash(request.node.name)) % 10**10}"
    options = {
        "s3_endpoint_url": endpoint,
        "s3_access_key_id": "key",
        "s3_secret_access_key": "it's",
    }
    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="it's",
    ).create_bucket(Bucket=bucket)
    return Workshop(tmp_path / "home", lake_url=f"s3://{bucket}/some/prefix", **options)


def test_load_revise_rerun_and_read_back(remote: Workshop):
    rows = [bar("AAA"), bar("BBB")]
    remote.load(*rows, coverage=[rejected("f:1")])
    remote.load(bar("AAA", close=11), bar("BBB"), at=hour(1))
    snapshots = remote.lake.snapshot_ids()
    report = remote.load(bar("AAA", close=11), bar("BBB"), at=hour(2))

    assert (report.rows_written, report.objects_written) == (0, 0)
    assert remote.lake.snapshot_ids() == snapshots
    assert remote.closes() == {"AAA": 11.0, "BBB": 10.0}
    assert remote.closes(hour(0)) == {"AAA": 10.0, "BBB": 10.0}
    listed = remote.lake.objects("equity_prices")
    assert listed["path"].to_list() == [
        f"{remote.lake.root}/{KEY}",
        f"{remote.lake.root}/{KEY.replace('data', 'rev-20240601T130000000000Z')}",
    ]

    _, rows = query.query(
        remote.lake, remote.settings, "SELECT symbol, close FROM equity_prices ORDER BY ALL"
    )
    assert rows == [("AAA", 10.0), ("AAA", 11.0), ("BBB", 10.0)]

    scanned = pl.scan_iceberg(
        remote.lake.catalog.table(DATASETS["equity_prices"]),
        storage_options=remote.lake.store.polars_options(),
    )
    assert scanned.collect().height == 3

    endpoint = remote.settings.s3_endpoint_url
    bucket_and_key = listed["path"][0].removeprefix("s3://")
    by_path, by_table = clickhouse(
        "SELECT count(), any(_path) FROM"
        f" s3('{endpoint}/{bucket_and_key}', 'key', 'it''s', Parquet)",
        "SELECT count() FROM icebergS3("
        f"'{endpoint}/{remote.lake.root.removeprefix('s3://')}/iceberg/equity_prices',"
        " 'key', 'it''s')",
    )
    assert by_path == [["2", bucket_and_key]]
    assert by_table == [["3"]]


def test_an_object_is_never_overwritten(remote: Workshop):
    store = remote.lake.store
    assert store.put_new([(KEY, b"first")]) == []
    assert store.put_new([(KEY, b"second"), ("raw/new", b"x")]) == [KEY]
    assert store.get(KEY) == b"first"
    assert sorted(store.list("raw/")) == [("raw/new", 1), (KEY, 5)]


def test_of_racing_writers_one_wins(remote: Workshop):
    lost = []
    gate = threading.Barrier(4)

    def write(n: int) -> None:
        store = open_store(remote.settings)
        gate.wait()
        lost.extend(store.put_new([(f"raw/{k}", str(n).encode()) for k in range(10)]))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 30


def test_what_a_killed_load_left_is_adopted(remote: Workshop, tmp_path):
    other = Workshop(tmp_path / "other")
    other.load(bar())
    remote.lake.store.put_new(list(other.files().items()))
    report = remote.load(bar(), at=hour(1))
    assert (report.adopted_objects, report.rows_written) == (1, 0)
    assert remote.closes() == {"AAA": 10.0}


def test_a_listing_longer_than_a_page(remote: Workshop, monkeypatch):
    monkeypatch.setattr("stock_platform.lake.store_s3._PAGE", 3)
    store = remote.lake.store
    store.put_new([(f"raw/{n}", b"x") for n in range(7)])
    assert len(list(store.list("raw/"))) == 7


def test_what_is_wrong_is_named(remote: Workshop):
    missing = remote.settings.model_copy(update={"lake_url": "s3://no-such-bucket"})
    with pytest.raises(StoreError, match=r"s3://no-such-bucket.*NoSuchBucket.*bucket exists"):
        Lake.open(missing).store.put_new([(KEY, b"x")])
    nobody = remote.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9"):
        S3Store(nobody).get(KEY)


def test_a_long_range_lists_the_dataset_once(remote: Workshop, monkeypatch):
    remote.load(bar())
    asked = []
    real = remote.lake.store.list
    monkeypatch.setattr(
        remote.lake.store, "list", lambda folder: asked.append(folder) or real(folder)
    )
    remote.load(bar(), at=hour(1), last=MONDAY.replace(year=2034))
    assert asked == [f"raw/said/{name}/" for name in DATASETS]
