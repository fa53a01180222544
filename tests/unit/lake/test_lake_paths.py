from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from stock_platform.errors import PlatformError
from stock_platform.lake import paths

SESSION = date(2024, 3, 4)


def test_first_object_lies_under_its_day():
    key = paths.first_object("sample", "equity_prices", SESSION)
    assert key == "raw/sample/equity_prices/2024/03/04/data.parquet"


def test_a_revision_is_named_after_the_utc_moment_it_became_known():
    moment = datetime(2024, 6, 1, 14, 5, 6, 789, tzinfo=timezone(timedelta(hours=2)))
    key = paths.revision_object("sample", "equity_prices", SESSION, moment)
    assert key.endswith("/2024/03/04/rev-20240601T120506000789Z.parquet")


def test_what_providers_answered_lies_beside_the_raw_objects_by_the_day_of_the_load():
    moment = datetime(2024, 6, 1, 1, 5, 6, 789, tzinfo=timezone(timedelta(hours=2)))
    key = paths.packed_responses("yahoo", moment)
    assert key == "responses/yahoo/2024/05/31/20240531T230506000789Z.parquet"
    assert key.startswith(paths.responses_folder("yahoo"))
    assert paths.parse(key) is None
    with pytest.raises(PlatformError, match="folder of the lake"):
        paths.responses_folder("../yahoo")


@pytest.mark.parametrize("base", ["", "/somewhere/raw/lake/", "s3://bucket/prefix/", "file:///x/"])
def test_parse_reads_back_what_was_written(base: str):
    moment = datetime(2024, 6, 1, tzinfo=UTC)
    for key in (
        paths.first_object("sample", "equity_prices", SESSION),
        paths.revision_object("sample", "equity_prices", SESSION, moment),
    ):
        assert paths.parse(base + key) == paths.ObjectKey("sample", "equity_prices", SESSION)


@pytest.mark.parametrize(
    "path",
    [
        "raw/sample/equity_prices/2024/03/04/data.parquet.tmp",
        "raw/sample/equity_prices/2024/03/04/other.parquet",
        "raw/sample/equity_prices/2024/02/30/data.parquet",
        "iceberg/equity_prices/data/2024/03/04/data.parquet",
    ],
)
def test_other_files_are_no_objects(path: str):
    assert paths.parse(path) is None


@pytest.mark.parametrize("name", ["../escape", "a/b", "Sample", ""])
def test_a_source_name_can_not_leave_its_folder(name: str):
    with pytest.raises(PlatformError, match="folder of the lake"):
        paths.folder(name, "equity_prices")
