"""What a good folder gives, however it is written."""

from __future__ import annotations

import gzip
import io
import os
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from stock_platform import calendars
from stock_platform.lake import schema
from stock_platform.marked_yaml import ConfigFileError
from stock_platform.sources.base import SourceError
from stock_platform.sources.files import FilesSource
from tests.unit.sources.conftest import GOOD, HEADER, NOW, Folder, everything, rejected

BAR = ["instrument_id", "session", "open", "high", "low", "close", "volume"]


def bars(source: FilesSource) -> pl.DataFrame:
    return everything(source).tables["equity_prices"].select(BAR)


@pytest.fixture
def plain(folder: Folder) -> pl.DataFrame:
    return bars(folder())


def test_the_bars_are_what_the_file_says(plain: pl.DataFrame) -> None:
    assert plain.height == len(GOOD)
    assert plain.row(0) == ("XNYS:ABC", date(2024, 1, 2), 10.0, 11.0, 9.0, 10.5, 1000.0)


def written(how: str) -> dict[str, str | bytes]:
    text = "\n".join([HEADER, *GOOD]) + "\n"
    frame = pl.read_csv(io.StringIO(text), try_parse_dates=True)
    buffer = io.BytesIO()
    match how:
        case "gzip":
            return {"bars.csv.gz": gzip.compress(text.encode())}
        case "byte order mark, carriage returns":
            return {"bars.csv": b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()}
        case "blank lines, no end of line":
            return {"bars.csv": text.replace("\n", "\n\n").rstrip("\n")}
        case "quotes and spaces":
            lines = [",".join(f'" {v} "' for v in line.split(",")) for line in GOOD]
            return {"bars.csv": "\n".join([HEADER, *lines])}
        case "several files":
            return {
                "bars1.csv": "\n".join([HEADER, *GOOD[:2]]),
                "bars2.csv": "\n".join([HEADER, *GOOD[2:]]),
            }
        case "parquet":
            frame.write_parquet(buffer)
        case "parquet of strings and single floats":
            frame.with_columns(
                pl.col("date").cast(pl.String), pl.col("open", "low").cast(pl.Float32)
            ).write_parquet(buffer)
        case "parquet with the exchange's midnight in UTC":
            midnight = pl.col("date").cast(pl.Datetime).dt.replace_time_zone("America/New_York")
            frame.with_columns(midnight.dt.convert_time_zone("UTC")).write_parquet(buffer)
    return {"bars.parquet": buffer.getvalue()}


@pytest.mark.parametrize(
    "how",
    [
        "gzip",
        "byte order mark, carriage returns",
        "blank lines, no end of line",
        "quotes and spaces",
        "several files",
        "parquet",
        "parquet of strings and single floats",
        "parquet with the exchange's midnight in UTC",
    ],
)
def test_the_same_bars_however_written(folder: Folder, plain: pl.DataFrame, how: str) -> None:
    source = folder(files=written(how))
    for path in source.folder.glob("bars.csv"):
        if path.name not in written(how):
            path.unlink()
    assert bars(source).equals(plain)
    assert rejected(source) == []


def test_own_names_dates_and_delimiter(folder: Folder, plain: pl.DataFrame) -> None:
    rows = []
    for line in GOOD:
        symbol, day, *numbers = line.split(",")
        year, month, dom = day.split("-")
        rows.append(";".join([f"{dom}.{month}.{year}", "x", *numbers, symbol]))
    source = folder(
        files={"bars.csv": "\n".join(["Day;Note;O;H;L;C;V;Ticker", *rows])},
        columns=dict(zip(HEADER.split(","), ["Ticker", "Day", *"OHLCV"], strict=True)),
        date_format="%d.%m.%Y",
        delimiter=";",
    )
    assert bars(source).equals(plain)


def test_symbol_from_the_file_name(folder: Folder, plain: pl.DataFrame) -> None:
    header = HEADER.removeprefix("symbol,")
    files = {
        f"{symbol}.csv": "\n".join(
            [header, *[r.removeprefix(symbol + ",") for r in GOOD if r.startswith(symbol)]]
        )
        for symbol in ("ABC", "XYZ")
    }
    columns = {c: c for c in header.split(",")}
    source = folder(
        files=files, columns=columns, symbol_from_file_name=True, patterns=["ABC*", "X*"]
    )
    assert bars(source).equals(plain)


def test_every_table_has_exactly_the_columns_of_the_lake(folder: Folder) -> None:
    extract = everything(folder())
    assert set(extract.tables) == {"equity_prices", "corporate_actions", "coverage"}
    for name, table in extract.tables.items():
        assert table.schema == schema.dataset(name).polars_schema
        assert sum(table.null_count().row(0)) == 0


def test_a_missing_session_is_said_and_nobody_is_called_delisted(folder: Folder) -> None:
    source = folder([GOOD[0], GOOD[2], GOOD[3]])
    coverage = everything(source).tables["coverage"]
    said = [(r["symbol"], str(r["session"]), r["reason"]) for r in coverage.to_dicts()]
    assert said == [
        ("ABC", "2024-01-03", "provider_missing"),
        ("XYZ", "2024-01-03", "provider_missing"),
        ("XYZ", "2024-01-04", "provider_missing"),
    ]
    assert all(i.last_session is None for i in source.instruments())


def test_a_listed_last_session_ends_what_is_expected(folder: Folder) -> None:
    listed = [{"symbol": "ABC"}, {"symbol": "XYZ", "last_session": date(2024, 1, 2)}]
    source = folder(GOOD[:4], instruments=listed)
    assert everything(source).tables["coverage"].is_empty()


def test_a_listed_instrument_without_rows_is_missing_all_along(folder: Folder) -> None:
    source = folder(instruments=[{"symbol": s} for s in ("ABC", "XYZ", "NONE")])
    coverage = everything(source).tables["coverage"]
    assert coverage["symbol"].to_list() == ["NONE"] * 3


def test_a_range_gives_that_range_only(folder: Folder) -> None:
    source = folder(GOOD[:2] + GOOD[3:])
    extract = source.extract(date(2024, 1, 3), date(2024, 1, 3), NOW)
    assert set(extract.tables["equity_prices"]["session"]) == {date(2024, 1, 3)}
    assert extract.tables["coverage"].is_empty()
    assert all(
        t.is_empty()
        for t in source.extract(date(2020, 1, 1), date(2020, 2, 1), NOW).tables.values()
    )


# --- clocks --------------------------------------------------------------------------------------


def one_bar(source: FilesSource, known_at: datetime) -> dict:
    tables = source.extract(date(2024, 1, 4), date(2024, 1, 4), known_at).tables
    found = tables["equity_prices"].filter(symbol="ABC").to_dicts()
    reasons = tables["coverage"].filter(symbol="ABC")["reason"].to_list()
    return {"bars": len(found), "reasons": reasons, **(found[0] if found else {})}


def test_availability_and_finality_follow_the_fetch(folder: Folder) -> None:
    source = folder(publication_lag_hours=2)
    close = calendars.session_close("XNYS", date(2024, 1, 4))
    due = close + timedelta(hours=2)

    late = one_bar(source, due + timedelta(days=3, seconds=1))
    assert (late["available_at"], late["availability"]) == (due, "assumed")
    in_time = due + timedelta(days=2)
    seen = one_bar(source, in_time)
    assert (seen["available_at"], seen["availability"]) == (in_time, "observed")
    assert (seen["finality"], seen["reasons"]) == ("final", [])
    early = one_bar(source, close + timedelta(hours=1))
    assert (early["finality"], early["available_at"]) == ("provisional", close + timedelta(hours=1))
    assert early["reasons"] == ["not_yet_final"]
    assert one_bar(source, close - timedelta(hours=12))["bars"] == 0


def test_the_fingerprint_follows_the_files(folder: Folder) -> None:
    source = folder()
    path = source.folder / "bars.csv"
    stat = path.stat()
    first = source.fingerprint()
    assert source.fingerprint() == first
    path.write_text(path.read_text() + "\n")
    assert source.fingerprint() != first
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert source.fingerprint() != first  # the size tells


# --- corporate actions ---------------------------------------------------------------------------

ACTIONS = {"file": "actions.csv"}


def with_actions(folder: Folder, actions: list[str], bars: list[str], **config) -> FilesSource:
    return folder(
        files={
            "bars.csv": "\n".join([HEADER, *bars]),
            "actions.csv": "\n".join(["symbol,date,action,value", *actions]),
        },
        actions=config.pop("actions", ACTIONS),
        **config,
    )


SPLIT_BARS = [
    "ABC,2024-01-02,100,110,90,100,1000",
    "ABC,2024-01-03,100,110,90,104,1000",
    "ABC,2024-01-04,52,55,45,50,2000",
    "ABC,2024-01-05,50,55,45,50,2000",
]


def test_actions_are_delivered_as_of_the_open_of_their_ex_date(folder: Folder) -> None:
    rows = ["ABC,2024-01-04,Split,2", "ABC,2024-01-05,dividend,0.5"]
    actions = everything(with_actions(folder, rows, SPLIT_BARS)).tables["corporate_actions"]
    assert [(r["action"], r["value"]) for r in actions.to_dicts()] == [
        ("split", 2),
        ("dividend", 0.5),
    ]
    opened = calendars.session_table("XNYS", date(2024, 1, 4), date(2024, 1, 4))["open_at"][0]
    assert (actions["available_at"][0], actions["availability"][0]) == (opened, "assumed")


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ("ABC,2024-01-04,merger,2", "action", "not one of split"),
        ("ABC,2024-01-04,split,0", "value", "above 0"),
        ("ABC,2024-01-04,split,two", "value", "not a number"),
        ("ABC,2024-01-06,split,2", "date", "closed"),
        ("ABC,2024-01-04,split", "line", "3 fields"),
    ],
)
def test_a_bad_action_is_quarantined(folder: Folder, row: str, field: str, reason: str) -> None:
    source = with_actions(folder, [row, "ABC,2024-01-05,dividend,1"], SPLIT_BARS)
    extract = source.extract(date(2024, 1, 1), date(2024, 1, 31), NOW)
    (bad,) = extract.tables["coverage"].filter(reason="rejected").to_dicts()
    assert (bad["field"], bad["row_ref"]) == (field, "actions.csv:2")
    assert reason in bad["detail"]
    assert extract.tables["corporate_actions"].height == 1
    assert extract.tables["equity_prices"].height == 4


def test_split_adjusted_prices_are_stored_as_traded(folder: Folder) -> None:
    adjusted = [
        "ABC,2024-01-02,50,55,45,50,2000",
        "ABC,2024-01-03,50,55,45,52,2000",
        *SPLIT_BARS[2:],
    ]
    rows = ["ABC,2024-01-04,split,2", "ABC,2024-01-03,dividend,0.25"]
    traded = bars(with_actions(folder, rows, SPLIT_BARS))
    source = with_actions(folder, rows, adjusted, basis="split_adjusted")
    assert bars(source).equals(traded)
    paid = everything(source).tables["corporate_actions"].filter(action="dividend")
    assert paid["value"].to_list() == [0.5]


def test_a_split_after_the_last_bar_counts_unless_it_came_after_the_download(
    folder: Folder,
) -> None:
    rows = ["ABC,2024-03-01,split,10"]
    source = with_actions(folder, rows, SPLIT_BARS[2:], basis="split_adjusted")
    assert bars(source)["close"].to_list() == [500, 500]
    assert bars(source)["volume"].to_list() == [200, 200]
    source = with_actions(
        folder, rows, SPLIT_BARS[2:], basis="split_adjusted", adjusted_through=date(2024, 2, 1)
    )
    assert bars(source)["close"].to_list() == [50, 50]


@pytest.mark.parametrize("basis", ["traded", "split_adjusted"])
def test_a_basis_the_prices_contradict_is_refused(folder: Folder, basis: str) -> None:
    adjusted = [
        *[r.replace("100,110,90,10", "50,55,45,5") for r in SPLIT_BARS[:2]],
        *SPLIT_BARS[2:],
    ]
    shown = {"traded": adjusted, "split_adjusted": SPLIT_BARS}[basis]
    source = with_actions(folder, ["ABC,2024-01-04,split,2"], shown, basis=basis)
    with pytest.raises(SourceError, match=f"basis {basis}.*2:1 on 2024-01-04"):
        source.span()


@pytest.mark.parametrize("basis", ["split_adjusted", "total_return"])
def test_an_adjusted_basis_without_actions_is_refused(folder: Folder, basis: str) -> None:
    with pytest.raises(ConfigFileError, match=r"needs `actions.file`"):
        folder(basis=basis)


def test_a_missing_actions_file_is_named(folder: Folder) -> None:
    with pytest.raises(SourceError, match=r"actions\.csv does not exist"):
        folder(actions=ACTIONS).span()


def test_an_actions_file_that_matches_the_pattern_is_no_bar_file(folder: Folder) -> None:
    source = with_actions(folder, ["ABC,2024-01-04,split,2"], SPLIT_BARS, patterns="*.csv")
    assert bars(source).height == 4


def test_actions_in_a_universe_of_listed_instruments(folder: Folder, tmp_path) -> None:
    (tmp_path / "universe.yaml").write_text(
        "instruments:\n- {instrument_id: 'X:ABC', symbol: ABC, name: Abc, calendar: XNYS, "
        "currency: USD, first_session: 2024-01-02}\n"
    )
    source = with_actions(
        folder,
        ["ABC,2024-01-04,split,2", "ZZZ,2024-01-04,split,2"],
        SPLIT_BARS,
        universe="universe.yaml",
    )
    assert everything(source).tables["corporate_actions"]["instrument_id"].to_list() == ["X:ABC"]
    assert [r["row_ref"] for r in rejected(source)] == ["actions.csv:3"]
