"""Write-once, also when two writers meet."""

import inspect
import os
import threading
import time
from pathlib import Path

import pytest

from stock_platform.lake import store as store_module
from stock_platform.lake import store_s3
from stock_platform.lake.difference import ConflictError
from stock_platform.lake.store import LocalStore, StoreError
from tests.support.lake import MONDAY, Workshop, bar, hour

KEY = "raw/said/equity_prices/2024/03/04/data.parquet"


def test_an_object_is_never_overwritten(tmp_path: Path):
    store = LocalStore(str(tmp_path))
    assert store.put_new([(KEY, b"first")]) == []
    assert store.put_new([(KEY, b"second"), ("raw/new", b"x")]) == [KEY]
    assert store.get(KEY) == b"first"
    assert store.get("raw/new") == b"x"


def test_no_scratch_file_stays(tmp_path: Path):
    store = LocalStore(str(tmp_path))
    store.put_new([(f"raw/{n}", b"x") for n in range(100)])
    store.put_new([("raw/1", b"x")])
    assert min(store.list("raw/")) == ("raw/0", 1)
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path: Path):
    store = LocalStore(str(tmp_path))
    store.put_new([("raw/1", b"x")])
    old, new = tmp_path / ".incoming/old", tmp_path / ".incoming/new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 100_000,) * 2)
    store.put_new([("raw/2", b"x")])
    assert (old.exists(), new.exists()) == (False, True)


def test_of_many_racing_writers_one_wins(tmp_path: Path):
    gate = threading.Barrier(8)
    lost = []

    def write(n: int) -> None:
        store = LocalStore(str(tmp_path))
        gate.wait()
        for key in range(40):
            lost.extend(store.put_new([(f"raw/{key}", str(n).encode() * 1000)]))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lost) == 40 * 7
    for key in range(40):
        data = LocalStore(str(tmp_path)).get(f"raw/{key}")
        assert len(data) == 1000
        assert len(set(data)) == 1


@pytest.mark.parametrize("count", [1, 100], ids=["one by one", "whole file system"])
def test_an_object_is_on_disk_before_it_appears(tmp_path: Path, monkeypatch, count):
    steps = []
    real_link = os.link

    def link(source, target):
        steps.append("link")
        real_link(source, target)

    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "fsync", lambda _: steps.append("sync"))
    monkeypatch.setattr(store_module, "_sync_file_system", lambda _: steps.append("sync"))
    LocalStore(str(tmp_path)).put_new([(f"raw/{n}", b"x") for n in range(count)])
    assert steps[0] == "sync"
    assert steps[-1] == "sync", "the folder's entry was not put on disk"
    assert steps.count("link") == count


def test_the_file_system_is_really_flushed(tmp_path: Path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    store_module._sync_file_system(descriptor)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        store_module._sync_file_system(descriptor)


def test_a_root_that_can_not_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="STOCK_PLATFORM_LAKE_URL"):
        LocalStore(str(tmp_path / "file")).put_new([(KEY, b"x")])


@pytest.mark.parametrize("name", ["a#b", "a?b", "a%20b"])
def test_a_root_the_catalog_would_misread_is_refused(tmp_path: Path, name):
    with pytest.raises(StoreError, match="set STOCK_PLATFORM_HOME"):
        Workshop(tmp_path / name)


def test_there_is_no_way_to_delete_or_overwrite_an_object():
    for kind in (store_module.LocalStore, store_s3.S3Store, store_module.ObjectStore):
        methods = {name for name in vars(kind) if not name.startswith("_")} - {"root"}
        assert methods <= {
            "put_new", "get", "list", "uri", "location", "polars_options", "iceberg_properties",
        }  # fmt: skip
    source = inspect.getsource(store_s3.S3Store)
    assert "delete_object" not in source
    assert source.count("put_object") == source.count('IfNoneMatch="*"') == 1


class Rival:
    """Another load that writes the same session between our look and our write."""

    def __init__(self, workshop: Workshop, monkeypatch, data_of: dict[str, bytes]) -> None:
        real = workshop.lake.store.put_new
        pending = [data_of]

        def put_new(objects):
            if pending:
                real(list(pending.pop().items()))
            return real(objects)

        monkeypatch.setattr(workshop.lake.store, "put_new", put_new)


def rival_objects(tmp_path: Path, *bars, at) -> dict[str, bytes]:
    other = Workshop(tmp_path / "rival")
    other.load(*bars, at=at)
    return other.files()


def test_a_rival_that_wrote_the_same_is_fine(workshop: Workshop, tmp_path, monkeypatch):
    rival = rival_objects(tmp_path, bar(), at=hour(0))
    Rival(workshop, monkeypatch, rival)
    report = workshop.load(bar(), at=hour(1))
    assert workshop.files() == rival
    assert report.rows_written == 0
    assert workshop.lake.read("equity_prices").height == 1, "the rival may never register it"


def test_what_a_rival_wrote_differently_is_revised(workshop: Workshop, tmp_path, monkeypatch):
    rival = rival_objects(tmp_path, bar(close=10), bar("BBB"), at=hour(0))
    Rival(workshop, monkeypatch, rival)
    workshop.load(bar(close=11), bar("BBB"), bar("CCC"), at=hour(1))
    files = workshop.files()
    assert rival.items() <= files.items()
    assert len(files) == 2
    workshop.load(bar(close=11), at=hour(2))
    assert workshop.closes() == {"AAA": 11.0, "BBB": 10.0, "CCC": 10.0}
    assert workshop.closes(hour(0)) == {"AAA": 10.0, "BBB": 10.0}


def test_a_later_rival_that_says_something_else_is_a_clear_error(
    workshop: Workshop, tmp_path, monkeypatch
):
    rival = rival_objects(tmp_path, bar(close=10), at=hour(2))
    Rival(workshop, monkeypatch, rival)
    with pytest.raises(ConflictError, match="Nothing of it was overwritten"):
        workshop.load(bar(close=11), at=hour(1))
    assert workshop.files() == rival
    workshop.load(bar(close=11), at=hour(3))
    assert workshop.closes() == {"AAA": 11.0}
    assert workshop.closes(hour(2)) == {"AAA": 10.0}


def test_a_rival_that_never_stops_is_named(workshop: Workshop, tmp_path, monkeypatch):
    monkeypatch.setattr(workshop.lake.store, "put_new", lambda objects: [key for key, _ in objects])
    with pytest.raises(ConflictError, match=f"keeps writing the sessions {MONDAY}"):
        workshop.load(bar())
