from __future__ import annotations

import tomllib
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from stock_platform import calendars, universe
from stock_platform.marked_yaml import ConfigFileError
from stock_platform.universe import Instrument, UniverseError, Validity

GOOD = """
instruments:
  - instrument_id: XNAS:AAPL
    symbol: AAPL
    name: Apple
    calendar: XNYS
    currency: USD
    sector: Information Technology
    first_session: 1980-12-12
  - instrument_id: ARCX:GLD
    symbol: GLD
    name: SPDR Gold
    asset_class: etf
    calendar: XNYS
    currency: USD
    first_session: 2004-11-18
    last_session: 2024-01-05
"""


def load(tmp_path: Path, text: str) -> list[Instrument]:
    path = tmp_path / "universe.yaml"
    path.write_text(text)
    return universe.load(path)


def test_a_universe(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD) == [
        Instrument(
            instrument_id="XNAS:AAPL",
            symbol="AAPL",
            name="Apple",
            asset_class="equity",
            calendar="XNYS",
            currency="USD",
            sector="Information Technology",
            first_session=date(1980, 12, 12),
            last_session=None,
        ),
        Instrument(
            instrument_id="ARCX:GLD",
            symbol="GLD",
            name="SPDR Gold",
            asset_class="etf",
            calendar="XNYS",
            currency="USD",
            sector="",
            first_session=date(2004, 11, 18),
            last_session=date(2024, 1, 5),
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("    name: Apple\n", "", ["line 3", "instruments[0].name", "missing"]),
        ("name: Apple", "nam: Apple", ["line 5", "instruments[0].nam", "did you mean name?"]),
        ("asset_class: etf", "asset_class: fund", ["line 13", "asset_class", "'equity'", "'fund'"]),
        ("calendar: XNYS", "calendar: NYS", ["line 6", "calendar", "perhaps XNYS"]),
        ("currency: USD", "currency: dollar", ["line 7", "currency", "'dollar'"]),
        ("2004-11-18", "18.11.2004", ["line 16", "first_session", "'18.11.2004'"]),
        ("2024-01-05", "2004-01-05", ["line 10", "instruments[1]", "lies before first_session"]),
        ("ARCX:GLD", "XNAS:AAPL", ["line 10", "[1].instrument_id", "'XNAS:AAPL'", "0 and 1"]),
        ("symbol: GLD", "symbol: AAPL", ["line 11", "[1].symbol", "symbol 'AAPL'", "0 and 1"]),
        ("symbol: GLD", "symbol: ON", ["line 11", "symbol", "string", "True"]),
        ("    name: Apple\n", "    name: Apple\n    name: A\n", ["line 6", "name", "second time"]),
        ("instruments:", "instruments: [", ["line", "not valid YAML"]),
        (GOOD, "", ["line 1", "instruments", "missing"]),
        (GOOD, "instruments: []", ["line 1", "instruments", "at least 1"]),
        (GOOD, "- AAPL", ["line 1", "name: value"]),
        ("1980-12-12", "2003-02-30", ["line 9", "[0].first_session", "'2003-02-30' is no date"]),
        ("1980-12-12", "0000-01-01", ["line 9", "[0].first_session", "is no date"]),
        ("1980-12-12", "!!int x", ["line 9", "[0].first_session", "'x' is no"]),
        ("1980-12-12", "!!timestamp x", ["line 9", "[0].first_session", "'x' is no date"]),
        (GOOD, "instruments: &a [*a]", ["line 1", "instruments[0]", "an alias of what it stands"]),
        (GOOD, "instruments: &a [{symbols: *a}]", ["line 1", "[0].symbols", "an alias of what"]),
        (GOOD, "instruments: " + "[" * 5000, ["nested too deeply"]),
        ("name: Apple", "name: Ap\x01ple", ["line 5", "not valid YAML"]),
        ("ARCX:GLD", "xnas:aapl", ["line 10", "[1].instrument_id", "0 and 1 (there as 'XNAS:AAPL"]),
        ("symbol: GLD", "symbol: aapl", ["line 11", "[1].symbol", "0 and 1 (there as 'AAPL')"]),
    ],
)
def test_errors_name_line_and_field(tmp_path: Path, old: str, new: str, parts: list[str]) -> None:
    assert old in GOOD
    with pytest.raises(ConfigFileError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    for part in ["universe.yaml", *parts]:
        assert part in str(caught.value), str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"nowhere\.yaml does not exist"):
        universe.load(tmp_path / "nowhere.yaml")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "universe.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFileError, match=r"universe\.yaml can't be read as UTF-8"):
        universe.load(path)


def full(instrument_id: str, symbol: str, **fields: Any) -> dict[str, Any]:
    return {
        "instrument_id": instrument_id,
        "symbol": symbol,
        "name": symbol,
        "calendar": "XNYS",
        "currency": "USD",
        "first_session": "2000-01-03",
    } | fields


def written(tmp_path: Path, *entries: dict[str, Any]) -> Path:
    path = tmp_path / "universe.yaml"
    path.write_text(yaml.safe_dump({"instruments": list(entries)}, sort_keys=False))
    return path


RENAMED = {
    "yahoo": [
        {"symbol": "META", "first_session": "2022-06-09"},  # out of order on purpose
        {"symbol": "FB", "last_session": "2022-06-08"},
    ]
}


def test_a_renamed_ticker_is_one_instrument_with_a_symbol_for_each_session(tmp_path: Path) -> None:
    (meta,) = universe.load(written(tmp_path, full("XNAS:META", "META", symbols=RENAMED)))
    assert meta.symbols == {
        "yahoo": (
            Validity("FB", None, date(2022, 6, 8)),
            Validity("META", date(2022, 6, 9), None),
        )
    }
    assert meta.symbol_at("yahoo", date(2022, 6, 8)) == "FB"
    assert meta.symbol_at("yahoo", date(2022, 6, 9)) == "META"
    assert meta.symbol_at("sample", date(2012, 6, 9)) == "META"
    assert meta.asked_as("yahoo") == "META"
    assert meta.asked_as("cbr") is None
    assert {meta: 1}[meta] == 1  # hashable, although it holds a mapping


def test_a_gap_between_symbols_belongs_to_the_earlier_one(tmp_path: Path) -> None:
    rows = [
        {"symbol": "A", "first_session": "2001-01-02", "last_session": "2005-01-04"},
        {"symbol": "B", "first_session": "2010-01-04", "last_session": "2015-01-02"},
    ]
    (one,) = universe.load(written(tmp_path, full("X:1", "B", symbols={"yahoo": rows})))
    spans = one.symbol_spans("yahoo", date(2000, 1, 3), date(2020, 1, 2))
    assert spans == [
        ("A", date(2000, 1, 3), date(2010, 1, 3)),
        ("B", date(2010, 1, 4), date(2020, 1, 2)),
    ]
    assert one.symbol_at("yahoo", date(2007, 1, 3)) == "A"
    assert one.asked_as("yahoo") == "B"  # ended, but nobody else has it


OLD = {"yahoo": [{"symbol": "S", "last_session": "2013-07-10"}]}
NEW = {"yahoo": [{"symbol": "S", "first_session": "2021-01-04"}]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            full("XNYS:OLD", "OLD", symbols=OLD),
            full("XNYS:NEW", "NEW", symbols=NEW),
        ),
        (
            full("XNYS:OLD", "S", last_session="2013-07-10", symbols={"yahoo": "S"}),
            full("XNYS:NEW", "S", first_session="2021-01-04", symbols={"yahoo": "S"}),
        ),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_recycled_ticker_is_not_asked_for_its_first_holder(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], turned: bool
) -> None:
    entries = (new, old) if turned else (old, new)
    found = {i.instrument_id: i for i in universe.load(written(tmp_path, *entries))}
    assert found["XNYS:OLD"].asked_as("yahoo") is None
    assert found["XNYS:OLD"].recycled == {"yahoo"}
    assert found["XNYS:OLD"].symbol_at("yahoo", date(2010, 1, 4)) == "S"
    assert found["XNYS:NEW"].asked_as("yahoo") == "S"
    assert found["XNYS:NEW"].recycled == frozenset()


def test_a_former_symbol_that_another_took_over_does_not_matter(tmp_path: Path) -> None:
    fund = full("ARCX:FB", "FB", first_session="2024-01-02", symbols={"yahoo": "FB"})
    meta = full("XNAS:META", "META", symbols=RENAMED)
    loaded = {i.instrument_id: i for i in universe.load(written(tmp_path, meta, fund))}
    assert loaded["XNAS:META"].asked_as("yahoo") == "META"
    assert loaded["ARCX:FB"].asked_as("yahoo") == "FB"


A, B = full("X:A", "A", symbols={"yahoo": "Q"}), full("X:B", "B", symbols={"yahoo": "Q"})


@pytest.mark.parametrize(
    ("entries", "parts"),
    [
        (
            [full("X:A", "A", symbols={"yahooo": "A"})],
            ["line 9, instruments[0].symbols.yahooo", "did you mean yahoo?"],
        ),
        (
            [full("X:A", "A", symbols={"sample": "A"})],  # it is read as `files`
            ["line 9, instruments[0].symbols.sample", "known names: cbr, files, yahoo"],
        ),
        (
            [full("X:A", "A", symbols={"cbr": 1})],
            ["line 9, instruments[0].symbols.cbr[0].symbol", "valid string", "1"],
        ),
        (
            [full("X:A", "A", symbols={"yahoo": []})],
            ["line 9, instruments[0].symbols.yahoo", "at least 1"],
        ),
        (
            [
                full(
                    "X:A",
                    "A",
                    symbols={
                        "yahoo": [
                            {"symbol": "Q", "last_session": "2010-01-05"},
                            {"symbol": "R", "first_session": "2010-01-05"},
                        ]
                    },
                )
            ],
            ["line 12, instruments[0].symbols.yahoo[1]", "overlaps the row of 'Q'"],
        ),
        (
            [full("X:A", "A", symbols={"yahoo": [{"symbol": "Q"}, {"symbol": "R"}]})],
            ["line 11, instruments[0].symbols.yahoo[1]", "overlaps the row of 'Q'"],
        ),
        (
            [
                full(
                    "X:A",
                    "A",
                    symbols={
                        "yahoo": [
                            {
                                "symbol": "Q",
                                "first_session": "2010-01-05",
                                "last_session": "2010-01-04",
                            }
                        ]
                    },
                )
            ],
            ["line 10, instruments[0].symbols.yahoo[0]", "lies before first_session"],
        ),
        (
            [A, B],
            [
                "line 17, instruments[1].symbols.yahoo",
                "symbol 'Q' of source yahoo stands in entries 0 and 1 at the same time",
            ],
        ),
        (
            [full("X:A", "A"), full("X:B", "B", symbols={"files": "A"})],
            [
                "line 15, instruments[1].symbols.files",
                "symbol 'A' of source files stands in entries 0 and 1",
            ],
        ),
    ],
)
def test_errors_of_symbols_name_line_and_field(
    tmp_path: Path, entries: list[dict[str, Any]], parts: list[str]
) -> None:
    with pytest.raises(ConfigFileError) as caught:
        universe.load(written(tmp_path, *entries))
    for part in ["universe.yaml", *parts]:
        assert part in str(caught.value), str(caught.value)


BANKS = full(
    "CBR:XAU", "XAU", asset_class="metal", calendar="CBR", currency="RUB", symbols={"cbr": "1"}
)
RATE = BANKS | {"asset_class": "fx", "symbols": {"cbr": [{"symbol": "R01235"}]}}


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        (
            full("X:A", "A", symbols={"yahoo": "AAA B"}),
            ["line 9, instruments[0].symbols.yahoo", "'AAA B' is not a symbol of Yahoo"],
        ),
        (
            full("X:A", "A", symbols={"yahoo": [{"symbol": "US0378331005"}]}),
            ["line 10, instruments[0].symbols.yahoo[0].symbol", "not a symbol of Yahoo", "AAPL"],
        ),
        (BANKS | {"calendar": "XNYS"}, ["line 5, instruments[0].calendar", "XNYS", "CBR"]),
        (BANKS | {"currency": "USD"}, ["line 6, instruments[0].currency", "USD", "RUB"]),
        (BANKS | {"asset_class": "equity"}, ["line 8, instruments[0].asset_class", "metal and fx"]),
        (BANKS | {"symbols": {"cbr": "7"}}, ["line 10, instruments[0].symbols.cbr", "1 (XAU)"]),
        (RATE | {"symbols": {"cbr": [{"symbol": "USD"}]}}, ["line 11, ", "'USD'", "R01235"]),
    ],
)
def test_what_a_provider_can_not_be_asked_for_is_told_with_its_line(
    tmp_path: Path, entry: dict[str, Any], parts: list[str]
) -> None:
    for good in (BANKS, RATE):
        assert universe.load(written(tmp_path, good))
    with pytest.raises(ConfigFileError) as caught:
        universe.load(written(tmp_path, entry))
    for part in ["universe.yaml", *parts]:
        assert part in str(caught.value), str(caught.value)


def test_a_symbol_in_another_case_is_the_same_one(tmp_path: Path) -> None:
    other = full("X:B", "B", symbols={"yahoo": "q"})
    with pytest.raises(ConfigFileError, match=r"'q' of source yahoo .* 0 and 1 \(there as 'Q'\)"):
        universe.load(written(tmp_path, A, other))
    later = {"yahoo": [{"symbol": "s", "first_session": "2021-01-04"}]}
    old, new = full("X:OLD", "OLD", symbols=OLD), full("X:NEW", "NEW", symbols=later)
    first, _ = universe.load(written(tmp_path, old, new))
    assert first.recycled == {"yahoo"}


def test_two_instruments_may_show_one_symbol_one_after_the_other(tmp_path: Path) -> None:
    old = full("X:OLD", "S", last_session="2013-07-10")
    new = full("X:NEW", "S", first_session="2013-07-11")
    assert len(universe.load(written(tmp_path, old, new))) == 2
    with pytest.raises(ConfigFileError, match=r"symbol 'S' stands in entries 0 and 1 at the same"):
        universe.load(written(tmp_path, old | {"last_session": "2013-07-11"}, new))


def test_for_source_takes_those_that_have_its_symbols(tmp_path: Path) -> None:
    path = written(tmp_path, full("X:Z", "Z", symbols={"yahoo": "Z"}), full("X:P", "P"), A)
    assert [i.instrument_id for i in universe.for_source(path, "yahoo")] == ["X:A", "X:Z"]
    with pytest.raises(UniverseError, match=r"no instrument in .*universe\.yaml .*source cbr: add"):
        universe.for_source(path, "cbr")


# --- the packaged file

PACKAGED = universe.load(universe.PACKAGED)


def test_the_packaged_universe_covers_every_class_and_sector() -> None:
    classes = Counter(i.asset_class for i in PACKAGED)
    assert classes == {"equity": 65, "etf": 8, "index": 2, "metal": 5, "fx": 13}
    sectors = Counter(i.sector for i in PACKAGED if i.asset_class == "equity")
    assert len(sectors) == 11
    assert min(sectors.values()) >= 5
    assert {i.sector for i in PACKAGED if i.asset_class != "equity"} == {""}
    by_id = {i.instrument_id: i for i in PACKAGED}
    assert {"ARCX:GLD", "ARCX:IAU", "ARCX:SPY", "XNAS:QQQ", "ARCX:IWM", "INDEX:SPX"} <= set(by_id)
    london = by_id["XLON:OCDO"]
    assert (london.currency, london.asked_as("yahoo")) == ("GBP", "OCDO.L")
    assert by_id["XNYS:BRK.B"].asked_as("yahoo") == "BRK-B"


def test_every_packaged_instrument_starts_on_a_session_of_its_calendar() -> None:
    for one in PACKAGED:
        first = one.first_session
        assert calendars.sessions(one.calendar, first, first) == [first], one
        for rows in one.symbols.values():
            for day in (d for r in rows for d in (r.first_session, r.last_session) if d):
                assert calendars.sessions(one.calendar, day, day) == [day], one


def test_each_packaged_instrument_has_one_source_and_each_live_source_its_own() -> None:
    assert {tuple(i.symbols) for i in PACKAGED} == {("yahoo",), ("cbr",)}
    assert len(universe.for_source(None, "yahoo")) == 77
    assert all(i.asked_as("yahoo") for i in universe.for_source(None, "yahoo"))


def test_the_packaged_renaming() -> None:
    meta = next(i for i in PACKAGED if i.instrument_id == "XNAS:META")
    assert meta.symbol_at("yahoo", date(2022, 6, 8)) == "FB"
    assert meta.symbol_at("yahoo", date(2022, 6, 9)) == "META"


def test_the_packaged_codes_of_the_central_bank() -> None:
    found = {i.symbol: i.asked_as("cbr") for i in universe.for_source(None, "cbr")}
    assert found == {
        "XAU": "1",
        "XAG": "2",
        "XPT": "3",
        "XPD": "4",
        "AED": "R01230",
        "BYN": "R01090B",
        "CHF": "R01775",
        "CNY": "R01375",
        "EUR": "R01239",
        "GBP": "R01035",
        "HKD": "R01200",
        "INR": "R01270",
        "JPY": "R01820",
        "KZT": "R01335",
        "TRY": "R01700J",
        "USD": "R01235",
    }
    for one in universe.for_source(None, "cbr"):
        assert (one.instrument_id, one.calendar, one.currency) == (
            f"CBR:{one.symbol}",
            "CBR",
            "RUB",
        )


def test_the_packaged_file_is_part_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["*"]
    assert any(universe.PACKAGED.match(pattern) for pattern in patterns)
    assert universe.PACKAGED.parent == Path(str(universe.__file__)).parent
