"""Every kind of bad input gets its error or its quarantine, and costs no good row."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, date, datetime

import polars as pl
import pytest

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings
from stock_platform.sources import get_source
from tests.unit.sources.conftest import GOOD, HEADER, NOW, Folder, everything, rejected

BAD_ROWS = {
    # name: (row, field, value, part of the reason, keeps its session)
    "text price": ("ABC,2024-01-05,10,11,9,n/a,1000", "close", "n/a", "not a number", True),
    "empty price": ("ABC,2024-01-05,,11,9,10,1000", "open", "", "empty", True),
    "nan price": ("ABC,2024-01-05,10,NaN,9,10,1000", "high", "NaN", "not a number", True),
    "infinite price": ("ABC,2024-01-05,10,inf,9,10,1000", "high", "inf", "not a number", True),
    "negative price": ("ABC,2024-01-05,10,11,-9,10,1000", "low", "-9", "above 0", True),
    "zero price": ("ABC,2024-01-05,0,11,9,10,1000", "open", "0", "above 0", True),
    "text volume": ("ABC,2024-01-05,10,11,9,10,many", "volume", "many", "not a number", True),
    "negative volume": ("ABC,2024-01-05,10,11,9,10,-1", "volume", "-1", "negative", True),
    "high below low": ("ABC,2024-01-05,10,9,11,10,1000", "high", "9", "below the low 11", True),
    "open outside": ("ABC,2024-01-05,12,11,9,10,1000", "open", "12", "range 9 to 11", True),
    "close outside": ("ABC,2024-01-05,10,11,9,8,1000", "close", "8", "range 9 to 11", True),
    "holiday": ("ABC,2024-01-15,10,11,9,10,1000", "date", "2024-01-15", "closed", True),
    "weekend": ("ABC,2024-01-06,10,11,9,10,1000", "date", "2024-01-06", "closed", True),
    "before the calendar": ("ABC,1950-01-03,10,11,9,10,1", "date", "1950-01-03", "1990", False),
    "no date": ("ABC,,10,11,9,10,1000", "date", "", "not a date", False),
    "another date format": ("ABC,05/01/2024,10,11,9,10,1", "date", "05/01/2024", "%Y", False),
    "impossible date": ("ABC,2024-02-30,10,11,9,10,1", "date", "2024-02-30", "not a date", False),
    "no symbol": (",2024-01-05,10,11,9,10,1000", "symbol", "", "no symbol", False),
    "surplus comma": (
        "ABC,2024-01-05,1,000,11,9,10,1000",
        "line",
        "ABC,2024-01-05,1,000,11,9,10,1000",
        "8 fields where the header has 7",
        False,
    ),
    "cut line": ("ABC,2024-01-05,10", "line", "ABC,2024-01-05,10", "3 fields", False),
    "open quote": (
        'ABC,2024-01-05,"10,11,9,10,1000',
        "line",
        'ABC,2024-01-05,"10,11,9,10,1000',
        "quote",
        False,
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_bad_row_is_quarantined_and_no_other_row_is_lost(
    folder: Folder, case: str, place: int
) -> None:
    row, field, value, reason, keeps_session = BAD_ROWS[case]
    source = folder([*GOOD[:place], row, *GOOD[place:]])
    extract = source.extract(date(2024, 1, 1), date(2024, 1, 31), NOW)

    assert extract.tables["equity_prices"].height == len(GOOD)
    (bad,) = rejected_rows(extract.tables["coverage"])
    assert (bad["field"], bad["value"]) == (field, value)
    assert reason in bad["detail"]
    assert bad["row_ref"] == f"bars.csv:{place + 2}"
    if keeps_session:
        assert bad["instrument_id"] == "XNYS:ABC"
        assert str(bad["session"]) == row.split(",")[1]
    else:  # known_at lies before the file was written: the day of the fetch is the ingest date
        assert bad["session"] == NOW.date()


def rejected_rows(coverage: pl.DataFrame) -> list[dict]:
    return coverage.filter(pl.col("reason") == "rejected").to_dicts()


def test_undated_rows_stand_under_the_day_the_file_came_and_come_again_unchanged(
    folder: Folder,
) -> None:
    source = folder([*GOOD, "ABC,soon,10,11,9,10,1000"])
    today = datetime.now(UTC)
    (bad,) = rejected(source, today)
    assert bad["session"] == today.date()
    (again,) = rejected(source, today.replace(year=today.year + 1))
    assert again["session"] == bad["session"]


@pytest.mark.parametrize("day", ["2023-12-29", "2024-01-20"])
def test_a_rejected_row_outside_the_span_is_not_lost(folder: Folder, day: str) -> None:
    source = folder([*GOOD, f"ABC,{day},10,11,9,n/a,1000"])
    assert source.span() == (date(2024, 1, 2), date(2024, 1, 4))
    first, last = source.span()
    assert rejected_rows(source.extract(first, first, NOW).tables["coverage"]) == []
    (bad,) = rejected_rows(source.extract(last, last, NOW).tables["coverage"])
    assert str(bad["session"]) == day


def test_a_later_chunk_does_not_repeat_undated_rows(folder: Folder, monkeypatch) -> None:
    monkeypatch.setattr("stock_platform.sources.files.ROWS_PER_CHUNK", 2)
    source = folder([*GOOD, "ABC,soon,10,11,9,10,1000"])
    chunks = list(source.chunks(*source.span(), NOW))
    assert len(chunks) == 3
    together = pl.concat(c.tables["coverage"] for c in chunks)
    whole = everything(source)
    assert together.sort(pl.all()).equals(whole.tables["coverage"].sort(pl.all()))
    bars = pl.concat(c.tables["equity_prices"] for c in chunks)
    assert bars.sort(pl.all()).equals(whole.tables["equity_prices"].sort(pl.all()))


def test_unknown_symbol_is_quarantined_when_instruments_are_listed(folder: Folder) -> None:
    source = folder(instruments=[{"symbol": "ABC", "instrument_id": "X:ABC"}])
    assert [i.instrument_id for i in source.instruments()] == ["X:ABC"]
    rows = rejected(source)
    assert [r["symbol"] for r in rows] == ["XYZ"] * 3
    assert {r["instrument_id"] for r in rows} == {""}
    assert all("unknown symbol" in r["detail"] and r["value"] == "XYZ" for r in rows)
    assert everything(source).tables["equity_prices"].height == 3


def test_rows_outside_an_instruments_life_are_quarantined(folder: Folder) -> None:
    listed = [
        {"symbol": "ABC", "first_session": date(2024, 1, 3)},
        {"symbol": "XYZ", "last_session": date(2024, 1, 3)},
    ]
    rows = rejected(folder(instruments=listed))
    assert [(r["symbol"], str(r["session"])) for r in rows] == [
        ("ABC", "2024-01-02"),
        ("XYZ", "2024-01-04"),
    ]


def test_a_future_row_is_quarantined_and_does_not_stretch_the_span(folder: Folder) -> None:
    ahead = date(datetime.now(UTC).year + 1, 6, 15)
    while ahead.weekday() > 4:
        ahead = ahead.replace(day=ahead.day + 1)
    source = folder([*GOOD, f"ABC,{ahead},10,11,9,10,1000"])
    assert source.span() == (date(2024, 1, 2), date(2024, 1, 4))
    (bad,) = rejected(source)
    assert (bad["instrument_id"], bad["field"], bad["value"]) == ("XNYS:ABC", "date", str(ahead))
    assert "future" in bad["detail"]
    assert bad["session"] == NOW.date()


def test_identical_duplicates_are_kept_once_and_counted(folder: Folder) -> None:
    source = folder([*GOOD, GOOD[0], GOOD[0].replace("10,11", "10.0,11.0")])
    extract = everything(source)
    assert extract.tables["equity_prices"].height == len(GOOD)
    assert extract.duplicates == 2
    assert rejected(source) == []


def test_what_was_kept_out_is_a_note_and_reading_prints_nothing(folder: Folder, caplog) -> None:
    source = folder([*GOOD, GOOD[0], "ABC,2024-01-05,10,11,9,n/a,1000"])
    everything(source)
    assert caplog.records == []
    assert source.notes() == [
        "1 row rejected (listed in coverage)",
        "1 duplicate row left out",
    ]
    assert folder().notes() == []


def test_conflicting_duplicates_are_all_quarantined(folder: Folder) -> None:
    other = "ABC,2024-01-03,10.5,11,10,10.6,1100"
    source = folder(
        files={
            "bars1.csv": "\n".join([HEADER, *GOOD]),
            "bars2.csv": "\n".join([HEADER, other, other]),
        }
    )
    extract = everything(source)
    assert extract.tables["equity_prices"].height == len(GOOD) - 1
    rows = rejected(source)
    assert [r["row_ref"] for r in rows] == ["bars1.csv:3", "bars2.csv:2", "bars2.csv:3"]
    assert [r["value"] for r in rows] == ["10.2", "10.6", "10.6"]
    assert {r["field"] for r in rows} == {"close"}
    assert "bars1.csv:3 says 10.2; bars2.csv:2 says 10.6" in rows[0]["detail"]
    # the quarantined rows are the reason for the absent bar: no second reason beside them
    coverage = extract.tables["coverage"].filter(pl.col("session") == date(2024, 1, 3))
    assert set(coverage["reason"]) == {"rejected"}


def test_a_bad_row_beside_a_good_one_of_its_session_costs_nothing(folder: Folder) -> None:
    source = folder([*GOOD, "ABC,2024-01-02,10,11,9,n/a,1000"])
    assert everything(source).tables["equity_prices"].height == len(GOOD)
    assert len(rejected(source)) == 1


def test_rounding_above_the_high_is_kept_as_printed(folder: Folder) -> None:
    source = folder([*GOOD, "ABC,2024-01-05,10,11,9,11.0001,1000"])
    bar = everything(source).tables["equity_prices"].filter(session=date(2024, 1, 5))
    assert (bar["high"][0], bar["close"][0]) == (11.0, 11.0001)
    source = folder([*GOOD, "ABC,2024-01-05,10,11,9,11.001,1000"])
    (bad,) = rejected_rows(
        source.extract(date(2024, 1, 1), date(2024, 1, 31), NOW).tables["coverage"]
    )
    assert bad["value"] == "11.001"


# --- whole files ---------------------------------------------------------------------------------


def refused(source_maker, *parts: str) -> None:
    with pytest.raises(PlatformError) as caught:
        source_maker().span()
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def test_missing_column(folder: Folder) -> None:
    header = HEADER.replace("close", "Last")
    refused(lambda: folder(header=header), "bars.csv", "'close'", "open, high, low, Last, volume")


def test_missing_column_of_a_parquet_file(folder: Folder) -> None:
    refused(
        lambda: folder(files={"bars.parquet": as_bytes(parquet().drop("low"))}),
        "bars.parquet",
        "'low'",
        "symbol, date, open, high, close, volume",
    )


def parquet() -> pl.DataFrame:
    csv = io.StringIO("\n".join([HEADER, *GOOD]))
    return pl.read_csv(csv, try_parse_dates=True)


def as_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("content", ["", "\n", HEADER, HEADER + "\n\n"])
def test_empty_file(folder: Folder, content: str) -> None:
    refused(lambda: folder(files={"bars.csv": content}), "bars.csv")


@pytest.mark.parametrize("cut", [4, 100, -20, -1])
def test_truncated_parquet(folder: Folder, cut: int) -> None:
    whole = as_bytes(parquet())
    refused(lambda: folder(files={"bars.parquet": whole[:cut]}), "bars.parquet", "cut short")


def test_truncated_gzip(folder: Folder) -> None:
    whole = gzip.compress("\n".join([HEADER, *GOOD * 200]).encode())
    refused(
        lambda: folder(files={"bars.csv.gz": whole[: len(whole) // 2]}), "bars.csv.gz", "cut short"
    )


def test_not_utf8(folder: Folder) -> None:
    content = "\n".join([HEADER, *GOOD, "Ö,2024-01-05,1,1,1,1,1"]).encode("latin-1")
    refused(lambda: folder(files={"bars.csv": content}), "bars.csv", "UTF-8")


def test_one_broken_file_among_good_ones_is_named(folder: Folder) -> None:
    good = as_bytes(parquet())
    refused(
        lambda: folder(files={"bars1.parquet": good, "bars2.parquet": good[:-30]}), "bars2.parquet"
    )


def test_no_file_matches(folder: Folder) -> None:
    refused(lambda: folder(files={"other.csv": HEADER}), "bars*", "files.yaml")


def test_neither_csv_nor_parquet(folder: Folder) -> None:
    refused(lambda: folder(files={"bars.xlsx": "x"}), "bars.xlsx", "neither CSV nor Parquet")


def test_no_usable_row_at_all(folder: Folder) -> None:
    refused(
        lambda: folder(["ABC,2024-01-02,1,1,1,x,1", "ABC,2024-01-03,1,1,1,y,1"]),
        "all 2 are rejected",
        "bars.csv:2",
        "'x'",
    )


def test_the_folder_itself(tmp_path) -> None:
    def opened(**settings):
        return get_source(Settings(source="files", home=tmp_path, **settings))

    refused(opened, "STOCK_PLATFORM_FILES_PATH is not set")
    refused(lambda: opened(files_path=tmp_path / "nowhere"), "nowhere", "does not exist")
    (tmp_path / "file").write_text("")
    refused(lambda: opened(files_path=tmp_path / "file"), "is not a folder")
    refused(lambda: opened(files_path=tmp_path), "files.yaml does not exist")


@pytest.mark.parametrize(
    ("mapping", "parts"),
    [
        ("file: a\n", ["files.yaml line 1", "file", "did you mean files?"]),
        ("files: a\ncolumns:\n  clse: x\n", ["line 3", "columns.clse", "did you mean close?"]),
        ("files: a\nfiles: b\n", ["line 2", "files", "second time"]),
        ("files: [a\n", ["files.yaml line 2", "not valid YAML"]),
        ("basis: adjusted\n", ["line 1", "basis", "traded", "'adjusted'"]),
        ("calendar: NYS\n", ["line 1", "calendar", "perhaps XNYS"]),
        ("- a\n", ["files.yaml", "name: value"]),
        ("", ["files.yaml", "missing"]),
    ],
)
def test_a_wrong_files_yaml_names_line_and_field(tmp_path, mapping: str, parts: list[str]) -> None:
    (tmp_path / "files.yaml").write_text(mapping)
    settings = Settings(source="files", home=tmp_path, files_path=tmp_path)
    refused(lambda: get_source(settings), *parts)
