"""What a load writes, and above all what it does not."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake import ingest, objects
from stock_platform.lake.difference import ConflictError
from tests.support.lake import MONDAY, T0, SaidSource, Workshop, bar, hour, rejected

TUESDAY = MONDAY + timedelta(days=1)


def test_one_object_per_session_registered_in_one_commit_per_dataset(workshop: Workshop):
    report = workshop.load(bar("BBB"), bar("AAA"), bar(session=TUESDAY), coverage=[rejected("f:3")])

    assert list(workshop.files()) == [
        "raw/said/coverage/2024/03/04/data.parquet",
        "raw/said/equity_prices/2024/03/04/data.parquet",
        "raw/said/equity_prices/2024/03/05/data.parquet",
    ]
    assert (report.rows_received, report.rows_written, report.objects_written) == (4, 4, 3)
    assert report.quarantined == 1
    listed = workshop.lake.objects("equity_prices")
    assert listed["rows"].to_list() == [2, 1]
    assert listed["session"].to_list() == [MONDAY, TUESDAY]
    assert listed["path"][0] == f"{workshop.lake.root}/{list(workshop.files())[1]}"
    assert listed["bytes"].to_list() == [len(data) for data in list(workshop.files().values())[1:]]
    table = workshop.lake.catalog.table(objects_schema("equity_prices"))
    assert len(table.metadata.snapshots) == 1


def objects_schema(name: str):
    from stock_platform.lake.schema import dataset

    return dataset(name)


def test_rows_lie_in_key_order_whatever_order_they_came_in(tmp_path):
    one, other = Workshop(tmp_path / "a"), Workshop(tmp_path / "b")
    rows = [bar(symbol) for symbol in "CABD"]
    one.load(*rows)
    other.load(*reversed(rows))
    assert one.files() == other.files()
    assert one.lake.read("equity_prices")["symbol"].to_list() == list("ABCD")


def test_a_rerun_that_learns_nothing_writes_and_commits_nothing(workshop: Workshop):
    rows = [bar("AAA"), bar("BBB"), bar(session=TUESDAY)]
    workshop.load(*rows, coverage=[rejected("f:3")])
    files, snapshots = workshop.files(), workshop.lake.snapshot_ids()

    report = workshop.load(*rows, coverage=[rejected("f:3")], at=hour(5))

    assert (report.rows_written, report.rows_unchanged, report.objects_written) == (0, 4, 0)
    assert workshop.files() == files
    assert workshop.lake.snapshot_ids() == snapshots


def test_a_restated_row_becomes_a_revision_with_only_what_changed(workshop: Workshop):
    workshop.load(bar("AAA"), bar("BBB"))
    before = workshop.files()

    report = workshop.load(bar("AAA", close=11), bar("BBB"), at=hour(1))

    assert report.rows_written == 1
    after = workshop.files()
    assert before.items() <= after.items(), "an object was changed or removed"
    (new,) = set(after) - set(before)
    assert new == "raw/said/equity_prices/2024/03/04/rev-20240601T130000000000Z.parquet"
    assert workshop.closes() == {"AAA": 11.0, "BBB": 10.0}
    assert workshop.closes(hour(0.5)) == {"AAA": 10.0, "BBB": 10.0}


def test_a_revision_was_available_when_it_was_learned(workshop: Workshop):
    workshop.load(bar())
    workshop.load(bar(close=11), at=hour(1))
    revision = workshop.lake.as_of("equity_prices").row(0, named=True)
    assert (revision["available_at"], revision["availability"]) == (hour(1), "observed")
    first = workshop.lake.as_of("equity_prices", hour(0)).row(0, named=True)
    assert first["availability"] == "assumed"
    assert workshop.closes(hour(0.5), "available_at") == {"AAA": 10.0}


def test_a_new_symbol_of_a_known_day_is_no_revision(workshop: Workshop):
    workshop.load(bar("AAA"))
    workshop.load(bar("AAA"), bar("NEW"), at=hour(1))
    new = workshop.lake.as_of("equity_prices").filter(symbol="NEW").row(0, named=True)
    assert new["availability"] == "assumed"


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ({"close": 10 * (1 + 0.9e-5)}, 0),
        ({"close": 10 * (1 + 1.1e-5)}, 1),
        ({"volume": 1001.0}, 1),
        ({"currency": "GBP"}, 1),
        ({"symbol": "RENAMED"}, 0),
        ({"payload_digest": "other"}, 0),
    ],
)
def test_what_is_a_revision(workshop: Workshop, change, written):
    workshop.load(bar())
    assert workshop.load(bar() | change, at=hour(1)).rows_written == written


def test_provisional_to_final_is_a_version_even_with_equal_values(workshop: Workshop):
    workshop.load(bar(finality="provisional"))
    assert workshop.load(bar(finality="final"), at=hour(1)).rows_written == 1
    assert workshop.lake.as_of("equity_prices")["finality"].to_list() == ["final"]


def test_final_never_goes_back_to_provisional(workshop: Workshop):
    workshop.load(bar())
    report = workshop.load(bar(close=12, finality="provisional"), at=hour(1))
    assert (report.rows_written, report.rows_ignored) == (0, 1)
    assert workshop.closes() == {"AAA": 10.0}


def test_the_same_moment_can_not_say_two_things(workshop: Workshop):
    workshop.load(bar())
    before = workshop.files()
    with pytest.raises(ConflictError, match=r"XNAS:AAA.*close 10.0 -> 12.0.*Load again"):
        workshop.load(bar(close=12))
    assert workshop.files() == before


def test_a_clock_that_went_back_can_not_rewrite_what_was_known_since(workshop: Workshop):
    workshop.load(bar())
    workshop.load(bar(close=11), at=hour(2))
    with pytest.raises(ConflictError, match="clock is behind"):
        workshop.load(bar(close=12), at=hour(1))
    workshop.load(bar(), at=hour(1))  # a replay of what was said then is no news
    assert workshop.closes(hour(1)) == {"AAA": 10.0}


def test_identical_rows_in_one_delivery_count_once(workshop: Workshop):
    report = workshop.load(bar(), bar())
    assert workshop.lake.read("equity_prices").height == 1
    assert (report.rows_received, report.rows_written, report.rows_unchanged) == (2, 1, 0)


def test_a_registered_object_that_is_gone_is_named(workshop: Workshop, tmp_path):
    workshop.load(bar())
    (key,) = workshop.files()
    Path(workshop.lake.store.location(key)).rename(tmp_path / "lost")
    with pytest.raises(objects.UnreadableObjectError, match=f"{key}.*restore it"):
        workshop.lake.read("equity_prices")


def test_a_lake_that_was_moved_is_told_from_its_objects(workshop: Workshop, tmp_path):
    workshop.load(bar())
    elsewhere = Workshop(workshop.settings.home, lake_url=str(tmp_path / "elsewhere"))
    with pytest.raises(PlatformError, match="was the lake moved"):
        elsewhere.lake.objects("equity_prices")


def test_rows_outside_the_range_are_loaded_once_too(workshop: Workshop):
    """A quarantined row without a date lies under its day of ingestion."""
    far = rejected("f:9", session=MONDAY + timedelta(days=400))
    workshop.load(bar(), coverage=[far])
    files = workshop.files()
    workshop.load(bar(), coverage=[far], at=hour(1))
    assert workshop.files() == files


def test_by_session_counts(workshop: Workshop):
    workshop.load(bar("AAA"), bar("BBB"))
    report = workshop.load(bar("AAA", close=11), bar("BBB"), bar(session=TUESDAY), at=hour(1))
    assert report.by_session.rows() == [
        (MONDAY, "equity_prices", 2, 1),
        (TUESDAY, "equity_prices", 1, 1),
    ]


def test_progress_ends_with_everything_done(workshop: Workshop):
    seen = []
    source = SaidSource(equity_prices=[bar(), bar(session=TUESDAY)])
    ingest.load(
        source,
        workshop.lake,
        MONDAY,
        TUESDAY,
        settings=workshop.settings,
        progress=lambda *step: seen.append(step),
    )
    assert seen[-1] == ("equity_prices", 2, 2)


def test_a_load_larger_than_one_batch(workshop: Workshop, monkeypatch):
    from stock_platform.lake import sink

    monkeypatch.setattr(sink, "_BATCH_ROWS", 3)
    monkeypatch.setattr(sink, "_BATCH_OBJECTS", 2)
    rows = [bar(s, MONDAY + timedelta(days=d)) for s in "ABC" for d in range(7)]
    report = workshop.load(*rows)
    assert (report.rows_written, report.objects_written) == (21, 7)
    assert workshop.lake.read("equity_prices").height == 21
    assert workshop.load(*rows, at=hour(1)).rows_written == 0


def test_two_sources_share_tables_and_keep_to_themselves(workshop: Workshop):
    workshop.load(bar(close=1))
    workshop.load(source=SaidSource(name="other", equity_prices=[bar(close=2)]))
    assert workshop.lake.read("equity_prices", source="other")["close"].to_list() == [2.0]
    assert workshop.lake.as_of("equity_prices").height == 2


def test_an_empty_delivery_is_fine(workshop: Workshop):
    report = workshop.load(source=SaidSource(equity_prices=[]))
    assert report.rows_received == 0
    assert workshop.files() == {}
    assert workshop.lake.as_of("equity_prices").is_empty()
    assert report.by_session.is_empty()


def test_a_damaged_object_is_named_and_left_alone(workshop: Workshop):
    workshop.load(bar(), bar(session=TUESDAY))
    damaged = next(iter(workshop.files()))
    with Path(workshop.lake.store.location(damaged)).open("r+b") as file:
        file.truncate(100)
    before = workshop.files()
    with pytest.raises(objects.UnreadableObjectError, match=damaged):
        workshop.load(bar(), bar(session=TUESDAY), at=hour(1))
    with pytest.raises(objects.UnreadableObjectError, match=damaged):
        workshop.lake.read("equity_prices")
    assert workshop.files() == before


def test_an_unregistered_damaged_object_is_named(workshop: Workshop):
    key = "raw/said/equity_prices/2024/03/04/data.parquet"
    workshop.lake.store.put_new([(key, b"not parquet")])
    with pytest.raises(objects.UnreadableObjectError, match=key):
        workshop.load(bar())
    assert workshop.files() == {key: b"not parquet"}


def test_ranges_and_clocks_that_make_no_sense(workshop: Workshop):
    with pytest.raises(PlatformError, match="ends before it begins"):
        workshop.load(bar(), first=TUESDAY, last=MONDAY)
    with pytest.raises(PlatformError, match="time zone"):
        workshop.load(bar(), at=T0.replace(tzinfo=None))
    with pytest.raises(PlatformError, match="no dataset 'prices'"):
        workshop.lake.objects("prices")


def test_read_prunes_by_session_and_source(workshop: Workshop):
    workshop.load(*[bar(session=MONDAY + timedelta(days=d)) for d in range(5)])
    some = workshop.lake.read("equity_prices", TUESDAY, TUESDAY + timedelta(days=1))
    assert some["session"].n_unique() == 2
    assert some.schema == pl.Schema(objects_schema("equity_prices").columns)


def test_a_second_load_of_the_same_source_is_refused(workshop: Workshop):
    class Nested(SaidSource):
        def dlt_source(self, first, last, known_at):
            workshop.load(bar())

    with pytest.raises(PlatformError, match=r"source 'said' is being loaded by process \d+"):
        workshop.load(source=Nested())
    workshop.load(bar())  # and the lock is gone with its holder


def test_ignored_is_not_reported_as_unchanged(workshop: Workshop):
    workshop.load(bar("AAA"), bar("BBB"))
    report = workshop.load(bar("AAA", finality="provisional"), bar("BBB"), at=hour(1))
    assert (report.rows_unchanged, report.rows_ignored) == (1, 1)
