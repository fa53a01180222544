"""A fortnight of a small market in which everything that may be told late or told anew is.

Half a year lies before it, longer than the windows of 5, 22, 60 and 120 sessions.

Rows carry when they were told, so what a platform had at any moment is what was told by then.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stock_platform import calendars
from stock_platform.ml.ledger import FORECASTS
from stock_platform.ml.quantiles import COLUMN_NAMES
from tests.support.dbt_project import Project, frame, write

Told = tuple[str, dict[str, Any]]
"""A dataset and one row of it."""

SOURCE = "sample"
"""One of those that the settings accept."""
CALENDAR = calendars.session_table("XNYS", date(2019, 7, 1), date(2020, 3, 31))
SESSIONS: list[date] = CALENDAR["session"].to_list()


def at(month: int, day: int, hour: int = 12) -> datetime:
    """A moment of 2020, UTC."""
    return datetime(2020, month, day, hour, tzinfo=UTC)


def row(dataset: str, session: date, symbol: str, known: datetime, **more: Any) -> Told:
    """A row fetched at `known`: observed the day after its session at the latest, else assumed."""
    close = datetime(session.year, session.month, session.day, 22, tzinfo=UTC)
    late = known - close > timedelta(days=1)
    return dataset, {
        "instrument_id": symbol,
        "symbol": symbol,
        "session": session,
        "currency": "USD",
        "source": SOURCE,
        "finality": "final",
        "known_at": known,
        "available_at": close if late else known,
        "availability": "assumed" if late else "observed",
        "payload_digest": str(known),
        **more,
    }


def bar(session: date, symbol: str, known: datetime, close: float, **more: Any) -> Told:
    prices = {"open": close * 0.99, "high": close * 1.02, "low": close * 0.98, "close": close}
    return row("equity_prices", session, symbol, known, **prices, volume=100.0, **more)


def action(session: date, symbol: str, known: datetime, kind: str, value: float) -> Told:
    return row("corporate_actions", session, symbol, known, action=kind, value=value)


def rate(session: date, known: datetime, value: float) -> Told:
    usd = {"quoted_currency": "USD", "nominal": 1.0, "rate": value, "currency": "RUB"}
    return row("fx_rates", session, "CBR:USD", known, **usd)


def metal(session: date, known: datetime, value: float) -> Told:
    gold = {"metal": "XAU", "buy": value, "sell": value, "currency": "RUB"}
    return row("metal_prices", session, "CBR:XAU", known, **gold)


def anew(told: Told, known: datetime, **figures: Any) -> Told:
    """The row as told again later: a revision is observed."""
    dataset, values = told
    observed = {"known_at": known, "available_at": known, "availability": "observed"}
    return dataset, {**values, **observed, "payload_digest": str(known), **figures}


LISTED: dict[str, tuple[date, date | None]] = {
    "A": (date(2000, 1, 3), None),
    "B": (date(2000, 1, 3), date(2020, 2, 7)),
    "C": (date(2020, 2, 4), None),
    "D": (date(2020, 2, 5), None),
    "E": (date(2020, 2, 10), None),
}
"""First and last session of every instrument."""


def universe(moment: datetime) -> list[tuple[str, date, date | None]]:
    """Instruments with first and last session, as a universe kept up to date has them then."""
    today = moment.date()
    return [
        (name, first, last if last and last <= today else None)
        for name, (first, last) in LISTED.items()
        if first <= today
    ]


def history() -> list[Told]:
    """Half a year fetched at once on 1 February, then every evening; what was told late or anew."""
    chance = random.Random(1)

    def price() -> float:
        return round(chance.uniform(18, 22), 2)

    begun, told = at(2, 1), []
    for day in [day for day in SESSIONS if day <= date(2020, 2, 12)]:
        evening = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
        known = at(2, 8) if day == date(2020, 1, 10) else max(begun, evening)
        for name, (first, last) in LISTED.items():
            if first <= day <= (last or day):
                told.append(bar(day, name, known, price()))
        told += [rate(day, known, price() + 40), metal(day, known, price() + 3000)]
    for place, (dataset, values) in enumerate(told[:]):
        # Of 5 February these bars were provisional in the evening, and final the next noon.
        if values["symbol"] in "CD" and values["session"] == date(2020, 2, 5):
            told[place] = dataset, {**values, "finality": "provisional"}
            told.append(anew((dataset, values), at(2, 6), close=values["close"] * 1.01))
    split = action(date(2020, 1, 15), "A", begun, "split", 2.0)
    told += [
        split,
        anew(split, at(2, 9), value=3.0),
        action(date(2020, 1, 21), "B", begun, "dividend", 0.3),
        # Fetched on the 7th: a split that nobody knew of, a dividend that the world knew of.
        anew(action(date(2020, 1, 22), "B", begun, "split", 2.0), at(2, 7)),
        action(date(2020, 1, 23), "A", at(2, 7), "dividend", 0.5),
    ]
    thursday, friday = date(2020, 1, 16), date(2020, 1, 17)
    for dataset, column in (
        ("equity_prices", "close"),
        ("fx_rates", "rate"),
        ("metal_prices", "buy"),
    ):
        old = next(one for one in told if one[0] == dataset and one[1]["session"] == thursday)
        for known, factor in ((at(2, 5), 0.99), (at(2, 8), 0.985)):
            told.append(anew(old, known, **{column: old[1][column] * factor}))
    # Halved before a 2:1 split is known, which makes it a rebasing once it is.
    halved = next(one for one in told if one[1]["symbol"] == "B" and one[1]["session"] == friday)
    told.append(anew(halved, at(2, 5), close=halved[1]["close"] / 2))
    return told


def forecasts() -> list[dict[str, Any]]:
    """Rows of the ledger: live and backtests, matured before or after they were issued."""
    return [
        *forecast("A", date(2020, 1, 24), at(2, 2), "backtest"),
        *forecast("B", date(2020, 1, 16), at(2, 2), "backtest"),
        *forecast("A", date(2020, 1, 31), at(2, 2), "live"),
        *forecast("B", date(2020, 1, 31), at(2, 2), "live"),
        *forecast("B", date(2020, 1, 16), at(2, 8), "backtest", model_name="again"),
        *forecast("A", date(2020, 1, 17), at(2, 8), "backtest"),
    ]


def forecast(
    symbol: str, origin: date, issued: datetime, kind: str, **more: Any
) -> Iterator[dict[str, Any]]:
    """The champion's row and the random walk's."""
    made_from = datetime(origin.year, origin.month, origin.day, 22, tzinfo=UTC)
    for role in ("champion", "baseline"):
        yield {
            **{name: "" for name, kind_ in FORECASTS.items() if "String" in kind_},
            "forecast_id": f"{symbol} {origin} {issued} {kind} {role}",
            "issued_at": issued,
            "kind": kind,
            "backtest_name": SOURCE if kind == "backtest" else "",
            "source": SOURCE,
            "instrument_id": symbol,
            "symbol": symbol,
            "origin_session": origin,
            "target_session": SESSIONS[SESSIONS.index(origin) + 5],
            "horizon": 5,
            "model_name": role,
            "role": role,
            "model_version": 1,
            "as_of": made_from if kind == "backtest" else issued,
            "as_of_clock": "available_at" if kind == "backtest" else "known_at",
            "currency": "USD",
            "origin_price": 20.0,
            **{name: 19.0 + n / 10 for n, name in enumerate(COLUMN_NAMES)},
            "mean": 20.0,
            "p_up": 0.5,
            **more,
        }


def describe(project: Project, moment: datetime) -> None:
    """The universe of a moment and the calendar, as Python writes them for dbt."""
    client = project.client
    client.command("TRUNCATE TABLE reference_instruments")
    columns = ["instrument_id", "first_session", "last_session", "symbol", "name", "asset_class"]
    columns += ["calendar", "currency", "source"]
    client.insert(
        "reference_instruments",
        [[*one, one[0], one[0], "equity", "XNYS", "USD", SOURCE] for one in universe(moment)],
        column_names=columns,
    )
    if not project.value("SELECT count() FROM reference_sessions"):
        client.insert("reference_sessions", CALENDAR.rows(), column_names=list(CALENDAR.columns))


def tell(project: Project, told: list[Told], ledger: list[dict[str, Any]]) -> None:
    """Write what was told into the lake, an object per load and session, and into the ledger."""
    objects = defaultdict(list)
    for dataset, values in told:
        objects[dataset, values["session"], values["known_at"]].append(values)
    listed = []
    for (dataset, session, known), rows in objects.items():
        name = f"rev-{known:%Y%m%dT%H%M%S%fZ}"
        path = write(project, frame(rows, dataset), session, name=name, dataset=dataset)
        size = path.stat().st_size
        listed.append([dataset, str(path), SOURCE, session, len(rows), size])
    project.client.insert("lake_objects", listed)
    if ledger:
        names = list(FORECASTS)
        rows = [[one[name] for name in names] for one in ledger]
        project.client.insert("forecasts", rows, column_names=names)
