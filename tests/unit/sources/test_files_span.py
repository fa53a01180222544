"""Bad rows at the ends of a folder: every session they bring into the lake is accounted for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from stock_platform.lake import Lake, coverage, ingest
from stock_platform.settings import Settings
from stock_platform.sources import base
from stock_platform.sources.files import FilesSource
from tests.unit.sources.conftest import NOW, Folder, rejected

BARS = [
    f"AAA,2024-01-{day:02},10,11,9,10,100" for day in (2, 3, 4, 5, 8, 9, 10, 11)
]  # fmt: skip
LATER = [
    "AAA,2024-01-12,10,11,9,-10,100",
    "AAA,2024-01-16,10,11,9,abc,100",
    "BBB,2024-01-16,10,8,9,10,100",
    "AAA,2099-01-05,10,11,9,10,100",
    "ZZZ,2024-01-17,10,11,9,10,100",
    "AAA,2024-01-17,10,11,9,10,100",
    "AAA,2024-01-17,10,11,9,10.5,100",
    "AAA,notadate,10,11,9,10,100",
    "AAA,2024-01-19,10,11,9,1e400,1",
]
LISTED = [{"symbol": "AAA"}, {"symbol": "BBB"}]


def states(source: FilesSource, home: Path, known_at: datetime | None = None) -> pl.DataFrame:
    """What became of every expected session, once the whole folder is in a new lake."""
    settings = Settings(home=home)
    lake = Lake.open(settings)
    ingest.load(source, lake, *source.span(), settings=settings, known_at=known_at)
    instruments = source.instruments()
    expected = base.expected(instruments, *source.span())
    return coverage.states(lake, settings, source.name, expected)


def test_sessions_of_which_only_bad_rows_are_left_are_accounted_for(
    folder: Folder, tmp_path: Path
) -> None:
    source = folder([*BARS, *LATER], instruments=LISTED)
    assert source.span() == (date(2024, 1, 2), date(2024, 1, 19))
    found = states(source, tmp_path / "home")
    told = {(r["symbol"], r["session"].day): r["state"] for r in found.to_dicts()}
    assert "unexplained" not in told.values()
    assert len(told) == 2 * 13
    bad = {key for key, state in told.items() if state == "rejected"}
    assert bad == {("AAA", 12), ("AAA", 16), ("AAA", 17), ("AAA", 19), ("BBB", 16)}
    assert told["AAA", 18] == "provider_missing"


@pytest.mark.parametrize(
    "row",
    ["AAA,soon,10,11,9,10,100", "ZZZ,2024-01-12,10,11,9,10,100", "AAA,2099-01-05,10,11,9,10,100"],
    ids=["no date", "unknown symbol", "future"],
)
def test_a_row_without_a_session_makes_none(folder: Folder, tmp_path: Path, row: str) -> None:
    """The file was written on a session soon after its last bar, as that of a daily user is."""
    source = folder([*BARS, row], instruments=LISTED)
    found = states(source, tmp_path / "home", datetime(2024, 1, 16, 23, tzinfo=UTC))
    assert source.span()[1] == found["session"].max() == date(2024, 1, 11)
    assert set(found["state"]) == {"final", "provider_missing"}


def test_listed_sessions_before_the_first_good_bar_are_accounted_for(
    folder: Folder, tmp_path: Path
) -> None:
    listed = [{"symbol": s, "first_session": date(2023, 12, 1)} for s in ("AAA", "BBB")]
    source = folder([*BARS, "AAA,2023-12-28,10,11,9,n/a,100"], instruments=listed)
    assert source.span() == (date(2023, 12, 28), date(2024, 1, 11))
    assert "unexplained" not in set(states(source, tmp_path / "home")["state"])


@pytest.mark.parametrize(
    ("day", "listed"),
    [("2024-01-15", None), ("2024-01-16", [{"symbol": "AAA", "last_session": date(2024, 1, 11)}])],
    ids=["closed", "after its life"],
)
def test_a_day_on_which_nothing_is_expected_does_not_stretch_the_span(
    folder: Folder, day: str, listed: list | None
) -> None:
    more = {"instruments": listed} if listed else {}
    source = folder([*BARS, f"AAA,{day},10,11,9,10,100"], **more)
    assert source.span()[1] == date(2024, 1, 11)
    (bad,) = rejected(source)
    assert (str(bad["session"]), bad["value"]) == (day, day)


def test_a_bad_action_after_the_last_bar_does_not_stretch_the_span(folder: Folder) -> None:
    source = folder(
        files={
            "bars.csv": "\n".join(["symbol,date,open,high,low,close,volume", *BARS]),
            "actions.csv": "symbol,date,action,value\nAAA,2024-03-01,split,two\n",
        },
        actions={"file": "actions.csv", "dividends": "traded"},
    )
    assert source.span()[1] == date(2024, 1, 11)
    (bad,) = rejected(source)
    assert (bad["session"], bad["detail"]) == (date(2024, 3, 1), "not a number")


def test_the_note_counts_what_coverage_lists(folder: Folder) -> None:
    source = folder([*BARS, "AAA,2099-01-05,10,11,9,10,100"])
    assert len(rejected(source, NOW)) == 1
    assert source.notes() == ["1 row rejected (listed in coverage)"]
    source = folder([*BARS, *LATER, BARS[0]], instruments=LISTED)
    assert len(rejected(source, NOW)) == len(LATER)
    assert source.notes() == [
        "9 rows rejected (listed in coverage)",
        "1 duplicate row left out",
    ]
