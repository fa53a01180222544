"""How live providers name what they have, and what else they demand of an entry of a universe.

What lives here are rules that a universe is checked by before anything is asked. It imports no
source, for sources import the universe. A provider without rules here takes any symbol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stock_platform.universe import InstrumentEntry

Place = tuple[str | int, ...]

METALS = {"1": "XAU", "2": "XAG", "3": "XPT", "4": "XPD"}
"""The Central Bank of Russia's code of a metal -> ISO 4217."""

CBR_CALENDAR, CBR_CURRENCY = "CBR", "RUB"

_YAHOO = re.compile(r"[A-Za-z0-9.^=_-]{1,24}\Z")
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}[0-9]\Z")
_CBR_CURRENCY_ID = re.compile(r"R[0-9]{5}[A-Z]?\Z")


def faults(entry: InstrumentEntry) -> Iterator[tuple[Place, str]]:
    """What the providers in `symbols` can't take of an entry: the field, and what is wrong."""
    for number, row in enumerate(entry.symbols.get("yahoo", [])):
        if problem := yahoo_problem(row.symbol):
            yield ("symbols", "yahoo", number, "symbol"), problem
    if "cbr" in entry.symbols:
        yield from _cbr_faults(entry)


def yahoo_problem(symbol: str) -> str:
    """Why `symbol` can't be one of Yahoo Finance's, '' if it can."""
    if _YAHOO.match(symbol) and not _ISIN.match(symbol):
        return ""
    return (
        f"{symbol!r} is not a symbol of Yahoo Finance: write it as its pages do, such as "
        "AAPL, OCDO.L, EURUSD=X or ^GSPC"
    )


def _cbr_faults(entry: InstrumentEntry) -> Iterator[tuple[Place, str]]:
    if entry.asset_class not in ("metal", "fx"):
        yield ("asset_class",), f"{entry.asset_class}: the Central Bank quotes metal and fx only"
        return
    if entry.calendar != CBR_CALENDAR:
        yield (
            ("calendar",),
            f"{entry.calendar}: the Central Bank quotes for the days of calendar {CBR_CALENDAR}",
        )
    if entry.currency != CBR_CURRENCY:
        yield ("currency",), f"{entry.currency}: the Central Bank quotes in {CBR_CURRENCY}"
    for number, row in enumerate(entry.symbols["cbr"]):
        place = ("symbols", "cbr", number, "symbol")
        if entry.asset_class == "metal" and row.symbol not in METALS:
            known = ", ".join(f"{code} ({iso})" for code, iso in METALS.items())
            yield place, f"{row.symbol!r}: the Central Bank's metals are {known}"
        elif entry.asset_class == "fx" and not _CBR_CURRENCY_ID.match(row.symbol):
            yield place, f"{row.symbol!r} is no currency's id at the Central Bank, such as R01235"
