"""A Central Bank of Russia on loopback: its three endpoints, its exact XML, and faults on demand.

It counts what it is asked. Its quotations are synthetic; that it writes them as the bank does is
tested against recorded answers (tests/fixtures/cbr).
"""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

FIXTURES = Path(__file__).parent.parent / "fixtures" / "cbr"
HEAD = '<?xml version="1.0" encoding="windows-1251"?>'
ERROR = (FIXTURES / "exchanger_historical_error.xml").read_bytes()
CAPTCHA = b"<!DOCTYPE html><html><head><title>Check</title></head><body>captcha</body></html>"

# id: number, ISO code, nominal, name, about what one unit costs
CURRENCIES = {
    "R01010": ("036", "AUD", 1, "Австралийский доллар", "53"),
    "R01150": ("704", "VND", 10_000, "Донгов", "0.003"),
    "R01235": ("840", "USD", 1, "Доллар США", "77"),
    "R01239": ("978", "EUR", 1, "Евро", "88"),
    "R01300": ("364", "IRR", 1_000_000, "Иранских риалов", "0.00005"),
    "R01820": ("392", "JPY", 100, "Иен", "0.47"),
}
METALS = {"1": "12957", "2": "223", "3": "5870", "4": "4448"}


@dataclass
class Reply:
    """What goes over the wire instead of a good answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: bool = False
    cut: int = 0  # bytes announced and not sent


Fault = Callable[[bytes], Reply]
"""Makes a reply from the body of the good answer."""


def status(code: int, **headers: str) -> Fault:
    return lambda _: Reply(b"no", code, {k.replace("_", "-"): v for k, v in headers.items()})


def instead(body: bytes) -> Fault:
    return lambda _: Reply(body)


def changed(old: bytes | str, new: bytes | str) -> Fault:
    """The good answer with some text replaced."""

    def change(body: bytes) -> Reply:
        before = old.encode("cp1251") if isinstance(old, str) else old
        after = new.encode("cp1251") if isinstance(new, str) else new
        assert before in body, f"{before!r} is not in the answer"
        return Reply(body.replace(before, after))

    return change


@dataclass
class Bank:
    """What has been published: by day, by code, the texts of the values."""

    metals: dict[date, dict[str, tuple[str, str]]] = field(default_factory=dict)
    rates: dict[date, dict[str, tuple[int, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, days: Iterable[date], currencies: Iterable[str] = CURRENCIES) -> Bank:
        """Synthetic quotations valid from these days, the same for a day in every bank."""
        bank, ids = cls(), tuple(currencies)
        for day in days:
            bank.metals[day] = {
                code: (price := _text(Decimal(about) * _wobble(code, day), 2), price)
                for code, about in METALS.items()
            }
            bank.rates[day] = {}
            for code in ids:
                _, _, nominal, _, about = CURRENCIES[code]
                value = Decimal(about) * nominal * _wobble(code, day)
                bank.rates[day][code] = (nominal, _text(value, 4))
        return bank

    def answer(self, path: str, asked: dict[str, str]) -> bytes:
        """The body for a path and its parameters."""
        try:
            days = {k: _day(v) for k, v in asked.items() if "/" in v}
            if path == "/scripts/XML_daily.asp":
                return self.daily(days["date_req"])
            span = days["date_req1"], days["date_req2"]
            if path == "/scripts/xml_metall.asp":
                return self.metall(*span)
            if path == "/scripts/XML_dynamic.asp":
                return self.dynamic(asked["VAL_NM_RQ"], *span)
        except (KeyError, ValueError):
            return ERROR
        raise LookupError(path)

    def metall(self, first: date, last: date) -> bytes:
        records = "".join(
            f'<Record Date="{day:%d.%m.%Y}" Code="{code}">'
            f"<Buy>{buy}</Buy><Sell>{sell}</Sell></Record>"
            for day in sorted(self.metals)
            if first <= day <= last
            for code, (buy, sell) in self.metals[day].items()
        )
        ends = f'FromDate="{first:%Y%m%d}" ToDate="{last:%Y%m%d}"'
        return _xml(f'<Metall {ends} name="Precious metals quotations">{records}</Metall>')

    def dynamic(self, code: str, first: date, last: date) -> bytes:
        records = "".join(
            f'<Record Date="{day:%d.%m.%Y}" Id="{code}">{_rate(*self.rates[day][code])}</Record>'
            for day in sorted(self.rates)
            if first <= day <= last and code in self.rates[day]
        )
        ends = f'DateRange1="{first:%d.%m.%Y}" DateRange2="{last:%d.%m.%Y}"'
        name = 'name="Foreign Currency Market Dynamic"'
        return _xml(f'<ValCurs ID="{code}" {ends} {name}>{records}</ValCurs>')

    def daily(self, asked: date) -> bytes:
        """The rates valid on a day; they may be those of an earlier one, and it says of which."""
        day = max(day for day in self.rates if day <= asked)
        records = []
        for code, (nominal, value) in self.rates[day].items():
            number, char, _, name, _ = CURRENCIES[code]
            records.append(
                f'<Valute ID="{code}"><NumCode>{number}</NumCode><CharCode>{char}</CharCode>'
                + _rate(nominal, value).replace("</Nominal>", f"</Nominal><Name>{name}</Name>")
                + "</Valute>"
            )
        head = f'<ValCurs Date="{day:%d.%m.%Y}" name="Foreign Currency Market">'
        return _xml(head + "".join(records) + "</ValCurs>")


class CbrServer:
    """Serves a bank on a free port of loopback.

    Attributes:
        requests: path and query of all requests so far.
        replay: bodies to answer with, by path and query, before the bank is asked.
        now: its clock, for the header Date.
    """

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.requests: list[str] = []
        self.replay: dict[str, bytes] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._faults: list[tuple[str, Fault, float]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._handle(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(outer.now(), usegmt=True)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CbrServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, marker: str, fault: Fault, times: float = float("inf")) -> None:
        """Answer the next `times` requests whose path or query contains `marker` with a fault."""
        self._faults.append((marker, fault, times))

    def heal(self) -> None:
        self._faults.clear()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        with self._lock:
            self.requests.append(handler.path)
            fault = self._next_fault(handler.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = self.replay.get(handler.path) or self.bank.answer(parts.path, asked)
        reply = fault(body) if fault else Reply(body)
        time.sleep(reply.delay)
        if reply.reset:  # close with RST, as a broken middle box does
            linger = struct.pack("ii", 1, 0)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            handler.close_connection = True
            handler.connection.close()
            return
        try:
            handler.send_response(reply.status)
            handler.send_header("Content-Type", "application/xml; charset=windows-1251")
            handler.send_header("Content-Length", str(len(reply.body) + reply.cut))
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(reply.body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up waiting, as it should

    def _next_fault(self, path: str) -> Fault | None:
        for place, (marker, fault, times) in enumerate(self._faults):
            if marker in path and times > 0:
                self._faults[place] = (marker, fault, times - 1)
                return fault
        return None


def _rate(nominal: int, value: str) -> str:
    unit = Decimal(value.replace(",", ".")) / nominal
    return (
        f"<Nominal>{nominal}</Nominal><Value>{value}</Value><VunitRate>{_short(unit)}</VunitRate>"
    )


def _short(number: Decimal) -> str:
    """Without trailing zeros; below 0.0001 with an exponent."""
    digits = number.normalize()
    if digits < Decimal("0.0001"):
        mantissa, exponent = f"{digits:E}".split("E")
        return f"{mantissa}E-{abs(int(exponent)):02d}".replace(".", ",")
    return f"{digits:f}".replace(".", ",")


def _text(number: Decimal, places: int) -> str:
    return f"{number:.{places}f}".replace(".", ",")


def _wobble(code: str, day: date) -> Decimal:
    """A factor around one that depends on nothing but code and day."""
    drawn = hashlib.sha256(f"{code} {day}".encode()).digest()[0]
    return Decimal(1) + Decimal(drawn - 128) / 2000


def _day(text: str) -> date:
    day, month, year = text.split("/")
    return date(int(year), int(month), int(day))


def _xml(text: str) -> bytes:
    return (HEAD + text).encode("cp1251")


def days(first: date, count: int) -> list[date]:
    """Consecutive days."""
    return [first + timedelta(n) for n in range(count)]
