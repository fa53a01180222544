"""A table made in pieces, month after month, equals one made whole, bit for bit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from stock_platform import calendars
from tests.support.dbt_project import Project, bar, content, frame, put, put_all

MODELS = (
    "int_daily_prices fct_features_daily int_weekly_prices fct_corporate_actions"
    " agg_market_overview agg_volatility fct_price_anomalies"
)
STAGING = "stg_equity_prices stg_corporate_actions dim_instrument dim_session"
SYMBOLS = ("A", "B", "C", "D")
DAYS = calendars.sessions("XNYS", date(2022, 9, 6), date(2024, 3, 13))


def bars(
    days: list[date], symbols: tuple[str, ...] = SYMBOLS
) -> dict[date, list[dict[str, object]]]:
    """A wander per symbol; B does not trade for a year, C begins late, D ends early."""
    found: dict[date, list[dict[str, object]]] = {day: [] for day in days}
    for seed, symbol in enumerate(symbols):
        steps = np.random.default_rng(seed).normal(0, 0.02, (len(DAYS) + 50, 4))
        closes = 50 * np.exp(np.cumsum(steps[:, 0]))
        for place, day in enumerate(DAYS + [DAYS[-1] + timedelta(days=n) for n in range(1, 51)]):
            halted = symbol == "B" and date(2022, 11, 1) < day < date(2023, 11, 15)
            if day not in found or halted or (symbol == "C" and place < 90):
                continue
            if symbol == "D" and place > 200:
                continue
            close = float(closes[place])
            opened = close * float(np.exp(steps[place, 1] / 4))
            high = max(close, opened) * float(np.exp(abs(steps[place, 2])))
            low = min(close, opened) * float(np.exp(-abs(steps[place, 3])))
            found[day].append(
                bar(day, symbol, close, open=opened, high=high, low=low, volume=1000.0 + place)
            )
    return {day: rows for day, rows in found.items() if rows}


def action(day: date, kind: str, value: float, symbol: str = "A") -> dict[str, object]:
    row = bar(day, symbol)
    for name in ("open", "high", "low", "close", "volume"):
        del row[name]
    return row | {"action": kind, "value": value, "payload_digest": f"{symbol}{day}{kind}{value}"}


def put_actions(project: Project, rows: list[dict[str, object]], name: str = "data") -> None:
    for day in sorted({row["session"] for row in rows}):
        of_day = frame([row for row in rows if row["session"] == day], "corporate_actions")
        put(project, of_day, day, dataset="corporate_actions", name=name)


@pytest.fixture
def market(project: Project) -> Project:
    for symbol in SYMBOLS:
        project.client.command(
            "INSERT INTO reference_instruments"
            " (instrument_id, symbol, asset_class, calendar, sector, source)"
            f" VALUES ('{symbol}', '{symbol}', 'equity', 'XNYS', '{symbol > 'B'}', 'unit')"
        )
    numbered = [
        ["XNYS", day, n, datetime(day.year, day.month, day.day, 14, tzinfo=UTC),
         datetime(day.year, day.month, day.day, 21, tzinfo=UTC), 7]
        for n, day in enumerate(DAYS + [DAYS[-1] + timedelta(days=n) for n in range(1, 51)])
    ]  # fmt: skip
    project.client.insert("reference_sessions", numbered)
    put_all(project, {day: frame(rows) for day, rows in bars(DAYS).items()})
    put_actions(
        project,
        [
            action(DAYS[0], "split", 3.0),
            *(action(day, "dividend", 0.3) for day in DAYS[40::63]),
            *(action(day, "dividend", 0.21, "B") for day in DAYS[20::63]),
            action(DAYS[300], "split", 1.5),
            action(DAYS[330], "split", 3.0, "C"),
        ],
    )
    assert project.dbt("run", "--select", f"{STAGING} {MODELS}")[1] == {}
    return project


def made(project: Project) -> dict[str, tuple[int, str]]:
    return content(project.client, project.database, MODELS.split())


def whole(project: Project) -> dict[str, tuple[int, str]]:
    """What the tables hold after a build of everything."""
    assert project.dbt("run", "--full-refresh", "--select", MODELS)[1] == {}
    return made(project)


def identity(project: Project) -> list[tuple[object, ...]]:
    return project.rows(
        "SELECT name, uuid FROM system.tables WHERE database = currentDatabase()"
        f" AND name IN ({', '.join(repr(name) for name in MODELS.split())}) ORDER BY name"
    )


def continued(project: Project) -> dict[str, tuple[int, str]]:
    before = identity(project)
    assert project.dbt("run", "--select", f"{STAGING} {MODELS}")[1] == {}
    assert identity(project) != before
    return made(project)


def test_nothing_new_changes_nothing(market: Project) -> None:
    before, tables = made(market), identity(market)
    assert market.dbt("run", "--select", MODELS)[1] == {}
    assert (made(market), identity(market)) == (before, tables)


def test_continued_equals_whole(market: Project) -> None:
    # Each step continues from a later month than the one before, so that what it kept stays to be
    # compared: a dividend of long ago that nobody had told,
    later = {"known_at": datetime(2026, 2, 1, tzinfo=UTC)}
    put_actions(market, [action(DAYS[150], "dividend", 0.4, "C") | later], name="rev")
    steps = [continued(market)]
    # a revision,
    put(market, frame([bar(DAYS[210], "A", 47.11, **later)]), DAYS[210], name="rev")
    steps.append(continued(market))
    # and a new session, with a dividend, a split and a share that ended and trades again.
    day = DAYS[-1] + timedelta(days=3)
    put_all(market, {day: frame(bars([day])[day] + [bar(day, "D", 44.0)])})
    put_actions(market, [action(day, "dividend", 0.1), action(day, "split", 2.0, "B")])
    steps.append(continued(market))
    assert len({str(step) for step in steps}) == 3
    assert steps[-1] == whole(market)


def test_pieces_do_not_show(market: Project, tmp_path) -> None:
    """One piece per year, or all years in one: the same bits."""
    in_one = whole(market)
    edited = market.edited(
        tmp_path / "dbt",
        "macros/materializations/continued.sql",
        "'piece_years', 4",
        "'piece_years', 1",
    )
    assert whole(edited) == in_one


def test_another_sort_key_makes_the_table_anew(market: Project, tmp_path) -> None:
    """Rows taken over as links would keep the old one."""
    edited = market.edited(
        tmp_path / "dbt",
        "models/marts/fct_features_daily.sql",
        "order_by=['instrument_id', 'session']",
        "order_by=['session', 'instrument_id']",
    )
    assert edited.dbt("run", "--select", "fct_features_daily")[1] == {}
    assert edited.rows(
        "SELECT sorting_key FROM system.tables"
        " WHERE database = currentDatabase() AND name = 'fct_features_daily'"
    ) == [("session, instrument_id",)]
