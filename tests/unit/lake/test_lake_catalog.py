"""The catalog: each object once, whoever else is writing, and metadata that stays small."""

import subprocess
import sys
import threading
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyiceberg.table import Table

from stock_platform.lake import Lake, housekeeping, paths
from stock_platform.lake.catalog import CatalogError, NewObject
from stock_platform.lake.schema import EQUITY_PRICES
from tests.support.lake import MONDAY, Workshop, bar, hour, settings_in


def entry(n: int, source: str = "said") -> NewObject:
    """An object that nobody reads."""
    day = date(2000, 1, 3) + timedelta(days=n)
    return NewObject(paths.first_object(source, "equity_prices", day), day, 100, 9000)


def test_a_path_is_never_registered_twice(workshop: Workshop):
    catalog = workshop.lake.catalog
    assert catalog.register(EQUITY_PRICES, [entry(0), entry(1)]) == 2
    assert catalog.register(EQUITY_PRICES, [entry(1), entry(2)]) == 1
    assert catalog.register(EQUITY_PRICES, [entry(0), entry(1), entry(2)]) == 0
    assert workshop.lake.objects("equity_prices")["session"].n_unique() == 3
    assert workshop.lake.objects("equity_prices").height == 3
    assert len(catalog.table(EQUITY_PRICES).metadata.snapshots) == 2


def test_a_rival_s_commit_between_look_and_commit(workshop: Workshop, monkeypatch):
    """The same path from two writers at the same time: the retry must look again."""
    catalog = workshop.lake.catalog
    rival = Lake.open(workshop.settings).catalog
    catalog.register(EQUITY_PRICES, [entry(0)])
    real, met = catalog._append, []

    def append(table, objects):
        if not met:
            met.append(rival.register(EQUITY_PRICES, [entry(1), entry(2)]))
        real(table, objects)

    monkeypatch.setattr(catalog, "_append", append)
    assert catalog.register(EQUITY_PRICES, [entry(1), entry(3)]) == 1
    assert met == [2]
    listed = workshop.lake.objects("equity_prices")
    assert listed.height == listed["path"].n_unique() == 4


def test_many_writers_at_once_lose_nothing(workshop: Workshop, monkeypatch):
    """Each of them also tags and expires, on metadata the others have moved on from."""
    monkeypatch.setattr(housekeeping, "KEEP", 3)
    monkeypatch.setattr(housekeeping, "EXPIRE_ABOVE", 4)
    monkeypatch.setattr(housekeeping, "KEEP_WEEKS", 2)
    monkeypatch.setattr(
        housekeeping, "_week", lambda item: f"week-{int(item.summary['total-data-files']) // 3:03}"
    )
    workshop.lake.catalog.table(EQUITY_PRICES)
    errors = []

    def write(n: int) -> None:
        catalog = Lake.open(workshop.settings).catalog
        try:
            for k in range(5):
                # Half of each commit is everybody's, half its own.
                catalog.register(EQUITY_PRICES, [entry(k), entry(100 + 10 * n + k)])
        except Exception as error:  # noqa: BLE001 - any is a failure of the test
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    listed = workshop.lake.objects("equity_prices")
    assert listed.height == listed["path"].n_unique() == 5 + 4 * 5


def test_a_writer_that_always_loses_says_so(workshop: Workshop, monkeypatch):
    from pyiceberg.exceptions import CommitFailedException

    def lose(*_):
        raise CommitFailedException("somebody else was faster")

    monkeypatch.setattr(workshop.lake.catalog, "_append", lose)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(CatalogError, match=r"12 commits .* lost to other writers; run it again"):
        workshop.lake.catalog.register(EQUITY_PRICES, [entry(0)])


@pytest.mark.slow
def test_several_processes_may_open_a_new_catalog_at_once(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from stock_platform.lake import Lake;"
        "from stock_platform.settings import Settings; import pyiceberg.catalog.sql;"
        "lake = Lake.open(Settings(home=Path(sys.argv[1])));"
        "time.sleep(max(0, float(sys.argv[2]) - time.time())); lake.snapshot_ids()"
    )
    start = str(time.time() + 4)
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "home"), start])
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]


def test_a_wrong_catalog_address_is_named_without_its_password(tmp_path: Path):
    settings = settings_in(tmp_path, catalog_uri="nosuch://me:secret@host/db")
    with pytest.raises(CatalogError, match="STOCK_PLATFORM_CATALOG_URI") as caught:
        Lake.open(settings).snapshot_ids()
    assert "secret" not in str(caught.value)


def metadata_files(table: Table) -> set[str]:
    """Paths of every metadata file that a kept snapshot names."""
    uris = [snapshot.manifest_list for snapshot in table.metadata.snapshots]
    for snapshot in table.metadata.snapshots:
        uris += [manifest.manifest_path for manifest in snapshot.manifests(table.io)]
    return {uri.removeprefix("file://") for uri in uris}


def test_metadata_stays_small_over_many_commits(workshop: Workshop):
    catalog = workshop.lake.catalog
    for n in range(50):
        catalog.register(EQUITY_PRICES, [entry(n)])
    table = catalog.table(EQUITY_PRICES)
    folder = Path(workshop.lake.root, "iceberg")
    named = metadata_files(table)
    there = {str(path) for path in folder.rglob("*.avro")}
    assert there == named, "metadata was lost, or metadata that nothing names was kept"
    assert len(table.metadata.snapshots) <= housekeeping.EXPIRE_ABOVE + 1
    assert len(table.current_snapshot().manifests(table.io)) <= 17
    assert len(list(folder.rglob("*.json"))) <= 22
    assert workshop.lake.objects("equity_prices").height == 50


def test_one_snapshot_a_week_is_kept_and_stays_readable(workshop: Workshop, monkeypatch):
    """Weeks of four commits each, told by the number of objects."""
    catalog = workshop.lake.catalog
    monkeypatch.setattr(
        housekeeping, "_week", lambda item: f"week-{int(item.summary['total-data-files']) // 4:03}"
    )
    monkeypatch.setattr(housekeeping, "KEEP", 2)
    monkeypatch.setattr(housekeeping, "EXPIRE_ABOVE", 5)
    monkeypatch.setattr(housekeeping, "KEEP_WEEKS", 5)
    for n in range(44):
        catalog.register(EQUITY_PRICES, [entry(n)])
    table = catalog.table(EQUITY_PRICES)
    tags = sorted(name for name in table.metadata.refs if name != "main")
    assert tags == [f"week-{n:03}" for n in range(6, 11)]
    for tag in tags:
        snapshot = table.snapshot_by_name(tag)
        files = [
            entry.data_file.file_path
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io)
        ]
        assert len(files) == len(set(files)) == int(tag[5:]) * 4 + 3
    # A dropped tag's snapshot and its metadata go with the next expiry.
    for n in range(44, 52):
        catalog.register(EQUITY_PRICES, [entry(n)])
    table = catalog.table(EQUITY_PRICES)
    named = metadata_files(table)
    assert {str(path) for path in Path(workshop.lake.root).rglob("*.avro")} == named


def test_the_week_of_a_snapshot(workshop: Workshop):
    from datetime import UTC, datetime

    workshop.lake.catalog.register(EQUITY_PRICES, [entry(0)])
    snapshot = workshop.lake.catalog.table(EQUITY_PRICES).current_snapshot()
    assert housekeeping._week(snapshot) == f"week-{datetime.now(UTC):%G-W%V}"


def test_a_rival_that_tidies_at_the_same_time_is_no_error(workshop: Workshop, monkeypatch):
    from pyiceberg.exceptions import CommitFailedException

    def lose(_):
        raise CommitFailedException("somebody else was faster")

    monkeypatch.setattr(housekeeping, "_expire", lose)
    assert workshop.lake.catalog.register(EQUITY_PRICES, [entry(0)]) == 1


def test_what_a_killed_load_left_is_adopted_for_the_days_touched(workshop: Workshop):
    tuesday = MONDAY + timedelta(days=1)
    other = Workshop(workshop.settings.home / "other")
    other.load(bar("AAA"), bar("AAA", tuesday))
    left = other.files()
    workshop.lake.store.put_new(list(left.items()))

    report = workshop.load(bar("AAA"), at=hour(1), first=MONDAY, last=MONDAY)
    assert (report.adopted_objects, report.rows_written) == (1, 0)
    assert workshop.lake.objects("equity_prices")["session"].to_list() == [MONDAY]

    report = workshop.load(bar("AAA"), at=hour(2), first=MONDAY, last=tuesday)
    assert (report.adopted_objects, report.rows_written) == (1, 0)
    assert workshop.files() == left
    assert workshop.lake.objects("equity_prices")["rows"].to_list() == [1, 1]
    assert workshop.load(bar("AAA"), at=hour(3)).adopted_objects == 0
