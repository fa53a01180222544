"""The bank's answers as rows of the lake, with a reason for every quotation that is not there.

What lives here turns quotes, flaws and failures into tables. What does not: reading XML
(`cbr_xml.py`) and what was to be asked (`cbr_plan.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from stock_platform import calendars
from stock_platform.sources import base, reasons
from stock_platform.sources.cbr_plan import CALENDAR, DATASETS, KEY, MARGIN, NAME, Ask, ends
from stock_platform.sources.cbr_quotes import Quotes
from stock_platform.sources.fetching import FetchError

NO_DAY = date(2000, 1, 3)
"""Where a refused record without a readable day is put: the first day of our partitions."""

_VALUES = {"metal_prices": ("buy", "sell"), "fx_rates": ("nominal", "rate")}
_CODED = {"metal_prices": "metal", "fx_rates": "quoted_currency"}
_REASON = ("reason", "row_ref", "field", "value", "detail")


@dataclass(frozen=True)
class Answer:
    """What became of one request: quotes, or why there are none.

    Attributes:
        digest: of the body; '' without one.
    """

    ask: Ask
    said: Quotes | FetchError
    digest: str


def quotations(
    dataset: str, answers: list[Answer], codes: pl.DataFrame, known_at: datetime
) -> pl.DataFrame:
    """The rows of `metal_prices` or `fx_rates`.

    Args:
        dataset: which of the two.
        answers: of any dataset.
        codes: from `cbr_plan.codes`; quotes of other codes are not wanted.
        known_at: the moment of the fetch; what is not valid by then is left out.
    """
    rows = [
        (quote.code, quote.session, *quote.values, answer.digest)
        for answer, said in _good(answers, dataset)
        for quote in said.quotes
    ]
    first, second = _VALUES[dataset]
    shape = {
        "code": pl.String(),
        "session": pl.Date(),
        first: pl.Float64(),
        second: pl.Float64(),
        "payload_digest": pl.String(),
    }
    due = valid_from()
    frame = (
        pl.DataFrame(rows, schema=shape, orient="row")
        .join(codes.filter(pl.col("dataset") == dataset), on="code")
        .filter(pl.col("session").is_between("from", "to"), due <= known_at)
        .with_columns(
            pl.col("symbol").alias(_CODED[dataset]),
            base.finality(due, known_at),
            *base.availability(due, known_at),
            *_origin(known_at),
        )
    )
    return base.conform(dataset, frame)


def coverage(
    answers: list[Answer],
    pending: pl.DataFrame,
    codes: pl.DataFrame,
    *,
    held: Mapping[str, AbstractSet[date]],
    known_at: datetime,
) -> pl.DataFrame:
    """A reason for every pending quotation that did not arrive, and every record refused.

    Args:
        answers: of all requests.
        pending: the columns of `cbr_plan.wanted`: what was asked for.
        codes: from `cbr_plan.codes`.
        held: by dataset, days that the lake has quotations of.
        known_at: the moment of the fetch.
    """
    parts = [
        _reasons(
            dataset, answers, pending.filter(pl.col("dataset") == dataset), held[dataset], known_at
        )
        for dataset in DATASETS.values()
    ]
    due = valid_from()
    absent = pl.concat(parts).with_columns(
        base.finality(due, known_at), *base.availability(due, known_at)
    )
    quarantined = _quarantined(answers, pending, codes).with_columns(reasons.noticed(known_at))
    both = pl.concat([absent, quarantined.select(absent.columns)])
    return base.conform("coverage", both.with_columns(_origin(known_at)))


def unforeseen(answers: list[Answer]) -> list[date]:
    """Days the bank published something for although its calendar here has none, in order."""
    days = {day for answer in answers for day in _published(answer)}
    if not days:
        return []
    return sorted(days.difference(calendars.sessions(CALENDAR, min(days), max(days))))


def valid_from() -> pl.Expr:
    """The moment from which a session's quotations are valid, by when they are long published."""
    zone = calendars.time_zone(CALENDAR)
    midnight = pl.col("session").cast(pl.Datetime("us"))
    return midnight.dt.replace_time_zone(zone, ambiguous="earliest").dt.convert_time_zone("UTC")


def _reasons(
    dataset: str,
    answers: list[Answer],
    pending: pl.DataFrame,
    held: AbstractSet[date],
    known_at: datetime,
) -> pl.DataFrame:
    group = _Group(dataset, answers, held, known_at.date() - MARGIN)
    rows = []
    columns = ("instrument_id", "session", "symbol", "currency", "code")
    for who, session, symbol, currency, code in pending.select(columns).iter_rows():
        why = group.why_absent(code, session)
        if why is not None:
            rows.append((who, session, symbol, currency, *why))
    return pl.DataFrame(rows, schema=_SHAPE, orient="row")


class _Group:
    """The answers about one dataset, asked why a quotation is not among them.

    Args:
        held: days that the lake has quotations of.
        settled: a day before this one gets no quotation any more.
    """

    def __init__(
        self, dataset: str, answers: list[Answer], held: AbstractSet[date], settled: date
    ) -> None:
        self.what = "prices of metals" if dataset == "metal_prices" else "rates"
        self.answers = [answer for answer in answers if answer.ask.dataset == dataset]
        self.published = set(held).union(*(_published(answer) for answer in self.answers))
        self.over = max(settled, max(self.published, default=date.min))
        good = list(_good(self.answers, dataset))
        self.there = {(quote.code, quote.session) for _, said in good for quote in said.quotes}
        self.flaws = {
            (flaw.code, flaw.session): (flaw, answer.digest)
            for answer, said in good
            for flaw in said.flaws
            if flaw.row_ref == ""
        }

    def why_absent(self, code: str, session: date) -> tuple[str, ...] | None:
        """The columns `_REASON` and payload_digest; None if the quotation is there."""
        if (code, session) in self.there:
            return None
        if (code, session) in self.flaws:
            flaw, digest = self.flaws[code, session]
            return "rejected", "", flaw.field, flaw.value, flaw.detail, digest
        about = [a for a in self.answers if a.ask.first <= session <= a.ask.last]
        own = next(a for a in about if code in a.ask.codes)
        if isinstance(own.said, FetchError):
            return _outage(own.said)
        failed = next((a.said for a in about if isinstance(a.said, FetchError)), None)
        if session in self.published:
            reason, detail = "provider_missing", "the bank published this day without it"
        elif failed is not None:
            # The answer that would tell a closed day from a missing one did not come.
            return _outage(failed)
        elif session < self.over:
            reason, detail = "closed", f"the bank published no {self.what} for this day"
        else:
            reason = "provider_missing"
            detail = f"the bank has published no {self.what} for this day or a later one yet"
        return reason, "", "", "", detail, own.digest


_SHAPE = {
    name: pl.Date() if name == "session" else pl.String()
    for name in (*KEY, "symbol", "currency", *_REASON, "payload_digest")
}


def _outage(error: FetchError) -> tuple[str, ...]:
    why = reasons.outage(error.kind, str(error))
    return *(why[name] for name in _REASON), ""


def _quarantined(answers: list[Answer], pending: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Refused records that are not about a pending quotation, such as of a day without a session.

    One without a readable day stands under `NO_DAY`, the same in every load.
    """
    if codes.is_empty():
        return pl.DataFrame(schema=_SHAPE)
    first, last = ends(codes.select(pl.col("from", "to")).unpivot(value_name="session"))
    of_code = {(row["dataset"], row["code"]): row for row in codes.iter_rows(named=True)}
    expected = set(pending.select("dataset", "code", "session").iter_rows())
    rows = {}
    for answer in answers:
        dataset = answer.ask.dataset
        for flaw in answer.said.flaws if isinstance(answer.said, Quotes) else ():
            found = of_code.get((dataset, flaw.code))
            if flaw.row_ref == "" and (
                found is None or (dataset, flaw.code, flaw.session) in expected
            ):
                continue
            if flaw.session is not None and not first <= flaw.session <= last:
                continue
            who = found["instrument_id"] if found else f"CBR:{flaw.code}"
            session = flaw.session or NO_DAY
            ref = flaw.row_ref or f"{flaw.code}:{flaw.session}"
            rows[who, session, ref] = {
                "instrument_id": who,
                "session": session,
                "symbol": found["symbol"] if found else flaw.code,
                "currency": found["currency"] if found else "RUB",
                "reason": "rejected",
                "row_ref": ref,
                "field": flaw.field,
                "value": flaw.value,
                "detail": flaw.detail,
                "payload_digest": answer.digest,
            }
    return pl.DataFrame(list(rows.values()), schema=_SHAPE)


def _good(answers: list[Answer], dataset: str) -> Iterator[tuple[Answer, Quotes]]:
    for answer in answers:
        if answer.ask.dataset == dataset and isinstance(answer.said, Quotes):
            yield answer, answer.said


def _published(answer: Answer) -> AbstractSet[date]:
    return answer.said.published if isinstance(answer.said, Quotes) else frozenset()


def _origin(known_at: datetime) -> list[pl.Expr]:
    return [pl.lit(NAME).alias("source"), pl.lit(known_at).alias("known_at")]
