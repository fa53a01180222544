from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from stock_platform import universe
from stock_platform.marked_yaml import ConfigFileError
from stock_platform.universe import Instrument

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
        ("ARCX:GLD", "XNAS:AAPL", ["line 2", "instruments", "'XNAS:AAPL'", "0 and 1"]),
        ("symbol: GLD", "symbol: AAPL", ["line 2", "symbol 'AAPL'", "0 and 1"]),
        ("symbol: GLD", "symbol: ON", ["line 11", "symbol", "string", "True"]),
        ("    name: Apple\n", "    name: Apple\n    name: A\n", ["line 6", "name", "second time"]),
        ("instruments:", "instruments: [", ["line", "not valid YAML"]),
        (GOOD, "", ["line 1", "instruments", "missing"]),
        (GOOD, "instruments: []", ["line 1", "instruments", "at least 1"]),
        (GOOD, "- AAPL", ["line 1", "name: value"]),
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
