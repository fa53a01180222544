"""The bank as a source, over HTTP against a local bank: plan, rows, reasons, faults, loads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_platform import calendars, universe
from stock_platform.errors import PlatformError
from stock_platform.lake import schema
from stock_platform.sources import cbr_client, get_source
from stock_platform.sources.base import SourceError
from stock_platform.sources.cbr_client import CbrClient
from stock_platform.sources.fetching import FetchError
from stock_platform.sources.packed import read_packed
from tests.support.cbr_server import (
    CAPTCHA,
    ERROR,
    Bank,
    CbrServer,
    Reply,
    changed,
    instead,
    status,
)
from tests.support.cbr_world import (
    ALL,
    FX,
    GOLD,
    LATE,
    METAL,
    NOW,
    SESSIONS,
    START,
    TODAY,
    Loads,
    Setup,
    hours,
    instrument,
)
from tests.support.lake import Workshop, settings_in


def test_every_expected_quotation_arrives_as_the_bank_wrote_it(bank: Setup):
    tables = bank.tables()
    sessions = [day for day in SESSIONS if day >= START]
    assert set(tables) == {METAL, FX, "coverage"}
    for name, table in tables.items():
        assert table.schema == schema.dataset(name).polars_schema
        assert sum(table.null_count().row(0)) == 0
    assert tables["coverage"].is_empty()
    gold = tables[METAL].filter(instrument_id="CBR:XAU")
    assert gold["session"].to_list() == sessions
    text = bank.server.bank.metals[sessions[0]]["1"][0]
    first = gold.row(0, named=True)
    assert first["buy"] == first["sell"] == float(text.replace(",", "."))
    assert (first["symbol"], first["metal"], first["currency"]) == ("XAU", "XAU", "RUB")
    rial = tables[FX].filter(instrument_id="CBR:IRR").row(0, named=True)
    nominal, text = bank.server.bank.rates[sessions[0]]["R01300"]
    assert (rial["quoted_currency"], rial["nominal"]) == ("IRR", nominal)
    assert rial["rate"] == pytest.approx(float(text.replace(",", ".")) / 1e6, rel=1e-12)


def test_a_quotation_was_available_when_it_became_valid(bank: Setup):
    rows = bank.tables()[METAL].filter(instrument_id="CBR:XAU")
    old, new = rows.row(0, named=True), rows.row(-1, named=True)
    midnight = datetime(2025, 2, 28, 21, tzinfo=UTC)  # in Moscow, of START
    assert (old["session"], old["available_at"]) == (START, midnight)
    assert (old["availability"], old["finality"]) == ("assumed", "final")
    assert (new["session"], new["available_at"]) == (TODAY, NOW)
    assert (new["availability"], new["finality"]) == ("observed", "final")


def test_requests_are_few(bank: Setup):
    bank.tables()
    asked = [request.split("?")[0].split("/")[-1] for request in bank.server.requests]
    assert asked == ["xml_metall.asp", "XML_dynamic.asp", "XML_dynamic.asp", "XML_dynamic.asp"]
    assert bank.server.requests[0].endswith("?date_req1=15/02/2025&date_req2=16/04/2025")
    assert "VAL_NM_RQ=R01150" in bank.server.requests[1]


def test_a_short_range_of_many_currencies_is_asked_by_day(bank: Setup):
    tables = bank.tables(first=TODAY, refetch_sessions=2)
    asked = [request.split("/", 2)[2] for request in bank.server.requests]
    assert asked[1:] == ["XML_daily.asp?date_req=15/04/2025", "XML_daily.asp?date_req=16/04/2025"]
    assert tables[FX].height == 6
    by_range = bank.tables([GOLD, ALL[2]], first=TODAY, refetch_sessions=2)
    same = tables[FX].filter(instrument_id="CBR:USD").drop("payload_digest")
    assert by_range[FX].drop("payload_digest").equals(same)


def test_an_old_range_does_not_reach_for_the_newest_sessions(bank: Setup):
    tables = bank.tables([GOLD], last=START + timedelta(days=9))
    assert tables[METAL]["session"].max() <= START + timedelta(days=9)
    assert bank.server.requests[0].endswith("?date_req1=15/02/2025&date_req2=22/03/2025")


def test_the_newest_sessions_are_asked_again_with_today(bank: Setup):
    tables = bank.tables([GOLD], first=TODAY)
    assert tables[METAL]["session"].to_list() == SESSIONS[-10:]


def test_tomorrows_price_waits_until_it_is_valid(bank: Setup):
    tomorrow = TODAY + timedelta(days=1)
    bank.server.bank = Bank.of([*SESSIONS, tomorrow])
    assert bank.tables([GOLD], last=tomorrow)[METAL]["session"].max() == TODAY
    bank.now = datetime(2025, 4, 16, 21, tzinfo=UTC)  # midnight in Moscow
    assert bank.tables([GOLD], last=tomorrow)[METAL]["session"].max() == tomorrow


def test_span_ends_today_in_moscow(bank: Setup):
    assert bank.source().span() == (START, TODAY)
    bank.now = datetime(2025, 4, 16, 21, tzinfo=UTC)
    assert bank.source().span() == (START, TODAY + timedelta(days=1))


def test_fingerprint_changes_with_day_and_universe_only(bank: Setup):
    mark = bank.source().fingerprint()
    bank.now += timedelta(hours=8)
    assert bank.source().fingerprint() == mark
    assert bank.source([GOLD]).fingerprint() != mark
    bank.now += timedelta(hours=8)
    assert bank.source().fingerprint() != mark


def test_a_day_without_any_price_is_closed_once_later_ones_came(bank: Setup):
    del bank.server.bank.metals[LATE]
    assert bank.reasons() == [(f"CBR:{m}", LATE, "closed", "", "") for m in ("XAG", "XAU")]


def test_a_closed_day_asked_for_alone_is_told_from_a_missing_one(bank: Setup):
    day = SESSIONS[-30]
    bank.server.bank = Bank.of(d for d in SESSIONS if d != day)
    names = ("IRR", "USD", "VND", "XAG", "XAU")
    expected = [(f"CBR:{name}", day, "closed", "", "") for name in names]
    assert bank.reasons(first=day, last=day) == expected


def test_a_price_that_is_late_is_missing(bank: Setup):
    del bank.server.bank.metals[TODAY]
    assert bank.reasons([GOLD]) == [("CBR:XAU", TODAY, "provider_missing", "", "")]


def test_one_currency_left_out_of_a_published_day_is_missing(bank: Setup):
    del bank.server.bank.rates[LATE]["R01150"]
    assert bank.reasons() == [("CBR:VND", LATE, "provider_missing", "", "")]


def test_nothing_is_filled_forward(bank: Setup):
    """The bank's answer for a day without rates carries those of the last day that had some."""
    bank.server.bank = Bank.of(SESSIONS[:-1])
    tables = bank.tables(ALL[2:], first=TODAY, refetch_sessions=1)
    assert "XML_daily" in bank.server.requests[0]
    assert tables[FX].is_empty()
    assert tables["coverage"]["reason"].to_list() == ["provider_missing"] * 3
    assert tables["coverage"]["field"].to_list() == [""] * 3


def test_a_day_the_calendar_lacks_is_kept_and_told(bank: Setup):
    extra = next(d for d in (LATE + timedelta(n) for n in range(7)) if d not in SESSIONS)
    bank.server.bank = Bank.of(sorted([*SESSIONS, extra]))
    source = bank.source()
    assert source.notes() == []
    tables = source.extract(START, TODAY, NOW).tables
    assert extra in tables[METAL]["session"]
    assert extra in tables[FX]["session"]
    assert tables["coverage"].is_empty()
    (note,) = source.notes()
    assert "1 days" in note
    assert str(extra) in note


FAULTS = [
    (status(429), "rate_limited", 4),
    (status(403), "unauthorized", 1),
    (status(404), "not_found", 1),
    (status(400), "bad_request", 1),
    (status(500), "server_error", 4),
    (status(503), "server_error", 4),
    (instead(ERROR), "bad_request", 1),
    (instead(CAPTCHA), "consent_page", 4),
    (instead(b""), "empty", 1),
    (lambda body: Reply(body[:-200]), "malformed", 4),
    (lambda body: Reply(body[:-200], cut=200), "connection", 4),
    (lambda body: Reply(body.replace(b"windows-1251", b"utf-16")), "malformed", 4),
    (changed("16.04.2025", "15.04.2025"), "malformed", 4),
    (lambda _: Reply(reset=True), "connection", 4),
    (lambda body: Reply(body, delay=0.6), "timeout", 4),
]


@pytest.mark.parametrize(("fault", "kind", "tries"), FAULTS)
def test_an_outage_is_told_by_its_kind_and_costs_nobody_else(bank: Setup, fault, kind, tries):
    bank.server.fail("R01150", fault)
    tables = bank.tables(first=SESSIONS[-10])
    assert len([r for r in bank.server.requests if "R01150" in r]) == tries
    coverage = tables["coverage"]
    assert coverage["session"].to_list() == SESSIONS[-10:]
    assert set(coverage["instrument_id"]) == {"CBR:VND"}
    reason = "rate_limited" if kind == "rate_limited" else "provider_missing"
    rows = set(coverage.select("reason", "row_ref", "field", "value").rows())
    assert rows == {(reason, "", "response", kind)}
    assert tables[FX].height == 20
    assert tables[METAL].height == 20


@pytest.mark.parametrize(("fault", "kind", "tries"), [f for f in FAULTS if f[2] > 1])
def test_a_passing_fault_leaves_no_trace(bank: Setup, fault, kind, tries):
    bank.server.fail("asp", fault, times=1)
    assert bank.tables([ALL[2]], first=SESSIONS[-10])["coverage"].is_empty()
    assert len(bank.waited) == 1


def test_retry_after_is_honoured(bank: Setup):
    bank.server.fail("metall", status(429, Retry_After="17"), times=1)
    assert bank.reasons([GOLD]) == []
    assert bank.waited == [17.0]


def test_a_refused_connection(bank: Setup):
    source = bank.source([GOLD])
    source._client.url = "http://127.0.0.1:9"
    coverage = source.extract(TODAY, TODAY, NOW).tables["coverage"]
    assert set(coverage["value"]) == {"connection"}


def test_an_id_or_url_the_bank_does_not_know(bank: Setup):
    unknown = instrument("XXX", "R99999")
    assert {row[2:] for row in bank.reasons([unknown])} == {
        ("provider_missing", "response", "empty")
    }
    source = bank.source()
    source._client.url = "ftp//nowhere"
    with pytest.raises(SourceError, match="STOCK_PLATFORM_CBR_URL"):
        source.check()


def test_a_closed_day_is_not_inferred_while_an_answer_is_missing(bank: Setup):
    """With one currency's answer gone, nobody knows whether the bank published that day."""
    bank.server.bank.rates[LATE] = {}
    bank.server.fail("R01150", status(500))
    rows = {row[0]: row[2:] for row in bank.reasons() if row[1] == LATE}
    assert set(rows) == {"CBR:IRR", "CBR:USD", "CBR:VND"}
    assert set(rows.values()) == {("provider_missing", "response", "server_error")}


def test_a_bad_value_is_rejected_and_told(bank: Setup):
    price = bank.server.bank.metals[LATE]["1"][0]
    bank.server.bank.metals[LATE]["1"] = (price, "-" + price)
    tables = bank.tables()
    (row,) = tables["coverage"].rows(named=True)
    assert (row["instrument_id"], row["session"], row["row_ref"]) == ("CBR:XAU", LATE, "")
    assert (row["reason"], row["field"], row["value"]) == ("rejected", "Sell", "-" + price)
    assert LATE not in tables[METAL].filter(instrument_id="CBR:XAU")["session"]


def test_records_of_no_expected_quotation_are_quarantined(bank: Setup):
    extra = next(d for d in (LATE + timedelta(n) for n in range(7)) if d not in SESSIONS)
    bank.server.bank = Bank.of(sorted([*SESSIONS, extra]))
    bank.server.bank.metals[extra]["1"] = ("1,00", "n/a")
    bank.server.bank.metals[LATE]["9"] = ("1,00", "1,00")
    day = f"{SESSIONS[-9]:%d.%m.%Y}"
    bank.server.fail("metall", changed(f'Date="{day}" Code="2"', 'Date="?" Code="2"'))
    rows = bank.tables(ALL[:2])["coverage"].rows(named=True)
    told = {
        (r["instrument_id"], r["session"], r["field"], r["value"]) for r in rows if r["row_ref"]
    }
    assert told == {
        ("CBR:XAU", extra, "Sell", "n/a"),
        ("CBR:9", LATE, "Code", "9"),
        ("CBR:XAG", date(2000, 1, 3), "Date", "?"),
    }
    missing = [(r["instrument_id"], r["session"]) for r in rows if not r["row_ref"]]
    assert missing == [("CBR:XAG", SESSIONS[-9])]


def test_an_id_changes_with_its_validity(bank: Setup):
    """A redenominated currency gets a new id; each is asked for its own days."""
    rows = [
        {"symbol": "R01010", "last_session": SESSIONS[-6]},
        {"symbol": "R01239", "first_session": SESSIONS[-5]},
    ]
    one = instrument("NEW", "R01010", symbols={"cbr": rows})
    tables = bank.tables([one], first=SESSIONS[-10])
    assert tables[FX]["session"].to_list() == SESSIONS[-10:]
    assert tables["coverage"].is_empty()
    aud = float(bank.server.bank.rates[SESSIONS[-6]]["R01010"][1].replace(",", "."))
    eur = float(bank.server.bank.rates[SESSIONS[-5]]["R01239"][1].replace(",", "."))
    assert tables[FX]["rate"].to_list()[4:6] == [aud, eur]


def test_check_asks_once_and_says_what_is_wrong(bank: Setup):
    assert bank.source().check() == f"{bank.server.url} answers; 5 instruments"
    assert len(bank.server.requests) == 1
    bank.server.fail("daily", instead(CAPTCHA))
    with pytest.raises(FetchError, match="web page"):
        bank.source().check()
    assert len(bank.server.requests) == 2


def test_get_source_by_name(tmp_path: Path):
    source = get_source(settings_in(tmp_path), "cbr")
    assert (source.name, source.live) == ("cbr", True)
    assert "CBR:XAU" in [one.instrument_id for one in source.instruments()]
    assert source.span()[0] == date(1992, 7, 1)


def test_a_name_that_is_no_source(tmp_path: Path):
    with pytest.raises(PlatformError, match="no source 'cbrf'"):
        get_source(settings_in(tmp_path), "cbrf")


# --- loads into a lake ---


def test_loading_again_learns_nothing_and_asks_for_the_newest_only(loads: Loads):
    del loads.bank.server.bank.metals[LATE]
    assert loads.run().rows_written == 2 * 33 + 3 * 33
    files, snapshots = loads.files(), loads.lake.snapshot_ids()
    assert len([f for f in files if "/metal_prices/" in f]) == 32
    assert loads.run(hours(1)).rows_written == 0
    assert loads.files() == files
    assert loads.lake.snapshot_ids() == snapshots
    assert len(loads.bank.server.requests) == 4
    begin = SESSIONS[-10] - timedelta(days=14)
    assert f"date_req1={begin:%d/%m/%Y}" in loads.bank.server.requests[0]


def test_what_an_outage_left_out_is_asked_again(loads: Loads):
    loads.bank.server.fail("R01150", status(500))
    loads.run()
    assert loads.lake.as_of("coverage").height == 33
    loads.bank.server.heal()
    loads.run(hours(1))
    asked = {r.split("VAL_NM_RQ=")[-1]: r for r in loads.bank.server.requests}
    assert "date_req1=15/02/2025" in asked["R01150"]
    assert "date_req1=15/02/2025" not in asked["R01235"]
    assert loads.lake.as_of(FX).height == 99


def test_an_outage_of_what_is_known_takes_nothing_away(loads: Loads):
    loads.run()
    before = loads.files()
    loads.bank.server.fail("asp", status(500))
    assert loads.run(hours(1)).rows_written == 0
    assert loads.files() == before


def test_a_missing_price_becomes_closed_or_a_price(loads: Loads):
    tomorrow = TODAY + timedelta(days=1)
    del loads.bank.server.bank.metals[TODAY]
    del loads.bank.server.bank.rates[TODAY]
    loads.run()
    assert set(loads.lake.as_of("coverage")["reason"]) == {"provider_missing"}
    loads.bank.server.bank.rates = Bank.of([*SESSIONS, tomorrow]).rates
    loads.bank.server.bank.metals[tomorrow] = {
        "1": ("13000,00", "13000,00"),
        "2": ("225,00", "225,00"),
    }
    loads.run(hours(24))
    assert loads.lake.as_of(FX)["session"].max() == tomorrow
    metals = loads.lake.as_of("coverage").filter(pl.col("instrument_id").is_in(["CBR:XAU"]))
    assert metals.select("session", "reason").rows() == [(TODAY, "closed")]


def test_a_late_corrected_price_is_a_revision(loads: Loads):
    loads.run()
    loads.bank.server.bank.metals[LATE]["1"] = ("9999,00", "9999,00")
    assert loads.run(hours(1)).rows_written == 1
    new = loads.lake.as_of(METAL).filter(instrument_id="CBR:XAU", session=LATE).row(0, named=True)
    assert (new["buy"], new["available_at"]) == (9999.0, hours(1))


def test_a_killed_load_goes_on_where_it_was(loads: Loads, monkeypatch):
    """Answers already here are not asked for again; the lake ends as after a clean load."""
    with monkeypatch.context() as patch:
        answer, count = CbrClient.answer, []

        def killed(*args: Any) -> Any:
            if len(count) == 2:
                raise KeyboardInterrupt
            count.append(1)
            return answer(*args)

        patch.setattr(CbrClient, "answer", killed)
        with pytest.raises(BaseException):  # noqa: B017, PT011 - as it comes out of dlt
            loads.run()
    assert len(loads.bank.server.requests) == 2
    report = loads.run(hours(1))
    assert len(loads.bank.server.requests) == 2, "only the other two"
    assert report.rows_written == 165
    loads.run(hours(2))
    assert len(loads.bank.server.requests) == 4, "the journal ends with the load"


def test_a_load_in_pieces_or_shuffled_ends_the_same(loads: Loads, tmp_path: Path):
    """G8: duplicated and reordered records, and a range loaded in parts."""
    loads.run()

    def mix(body: bytes) -> Reply:
        import re

        records = re.findall(rb"<Record.*?</Record>", body)
        head = body[: body.index(b"<Record")]
        tail = body[body.rindex(b"</Record>") + 9 :]
        return Reply(head + b"".join([*reversed(records), *records[:7]]) + tail)

    loads.bank.server.fail("asp", mix)
    other = Loads(tmp_path / "other", loads.bank)
    middle = START + timedelta(days=20)
    other.bank.now = NOW
    source = other.bank.source()
    other.load(source=source, at=NOW, first=START, last=middle)
    other.load(source=source, at=NOW, first=middle + timedelta(days=1), last=TODAY)
    for dataset in (METAL, FX):
        ours, theirs = (w.lake.as_of(dataset).drop("payload_digest") for w in (loads, other))
        assert ours.equals(theirs)
    assert other.lake.as_of("coverage").is_empty()


def test_the_answers_of_a_load_are_kept_for_good(loads: Loads):
    loads.bank.server.fail("R01150", status(500))
    loads.run(store=loads.lake.store, universe_text="instruments: ...")
    (key,) = [
        str(path.relative_to(loads.lake.root))
        for path in Path(loads.lake.root).rglob("responses/cbr/**/*.parquet")
    ]
    packed = read_packed(loads.lake.store, key)
    assert packed.universe == "instruments: ..."
    assert [response.status for response in packed.responses] == [200, 0, 200, 200]
    assert packed.responses[0].body.startswith(b'<?xml version="1.0" encoding="windows-1251"')


def test_the_settings_are_all_it_needs(cbr_server: CbrServer, tmp_path: Path, monkeypatch):
    """As `raw/cbr` runs it: the packaged universe, today's range, the lake of the settings."""
    monkeypatch.setattr(cbr_client, "REQUESTS_PER_MINUTE", 6000)
    names = [one.symbol for one in universe.for_source(None, "cbr") if one.asset_class == "fx"]
    workshop = Workshop(tmp_path / "home", cbr_url=cbr_server.url)
    source = get_source(workshop.settings, "cbr")
    last = source.span()[1]
    first = last - timedelta(days=30)
    cbr_server.bank = Bank.of(calendars.sessions("CBR", first - timedelta(days=60), last))
    at = datetime.now(UTC)
    one = workshop.load(source=source, at=at, first=first, last=last)
    source.loaded()
    assert one.rows_written == len(calendars.sessions("CBR", first, last)) * (4 + len(names))
    requests = len(cbr_server.requests)
    assert requests == 1 + len(names)
    again = workshop.load(source=source, at=None, first=first, last=last)
    assert again.rows_written == 0
    outages = workshop.lake.as_of("coverage").filter(field="response")
    assert set(outages["instrument_id"]) == {
        f"CBR:{name}" for name in names if name not in {"AUD", "VND", "USD", "EUR", "IRR", "JPY"}
    }
