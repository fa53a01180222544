"""Official metal prices and exchange rates, and restated bars, in the marts."""

from datetime import UTC, date, datetime

import pytest

from tests.support.dbt_project import KNOWN_AT, Project, bar, frame, put

EVERYTHING = "stg_metal_prices stg_fx_rates fct_metal_prices fct_fx_rates"
REVISIONS = (
    "stg_equity_prices stg_corporate_actions stg_metal_prices stg_fx_rates fct_price_revisions"
)


def official(session: date, symbol: str, **figures: object) -> dict[str, object]:
    """A row of metal_prices or fx_rates."""
    shared = bar(session, f"CBR:{symbol}", currency="RUB", symbol=symbol, source="cbr")
    own = {"open", "high", "low", "close", "volume"}
    return {name: value for name, value in shared.items() if name not in own} | figures


def put_official(project: Project, dataset: str, *rows: dict[str, object]) -> None:
    for session in {row["session"] for row in rows}:
        todays = [row for row in rows if row["session"] == session]
        put(project, frame(todays, dataset), session, dataset=dataset)


def build(project: Project, models: str) -> None:
    for command in ("run", "test"):
        ok, bad = project.dbt(command, "--select", *models.split())
        assert ok, bad


def test_a_metal_is_priced_in_usd_through_the_rate_valid_that_day(project: Project) -> None:
    """Figures of the bank of 3 to 5 March 2026; the 7th has a price and no new rate."""
    gold = {3: 12957.47, 4: 13259.22, 5: 12590.95, 7: 12600.0}
    usd = {3: 77.1734, 4: 77.6093, 5: 77.8009}
    put_official(
        project,
        "metal_prices",
        *[
            official(date(2026, 3, day), "XAU", metal="XAU", buy=price, sell=price)
            for day, price in gold.items()
        ],
        # before any rate is known, as in the years before a currency is loaded
        official(date(2026, 2, 27), "XAG", metal="XAG", buy=220.0, sell=222.0),
    )
    put_official(
        project,
        "fx_rates",
        *[
            official(date(2026, 3, day), "USD", quoted_currency="USD", nominal=1.0, rate=rate)
            for day, rate in usd.items()
        ],
        official(date(2026, 3, 3), "JPY", quoted_currency="JPY", nominal=100.0, rate=0.49),
    )
    build(project, EVERYTHING)
    found = project.rows(
        "SELECT metal, toDayOfMonth(session), price_rub_per_gram, rub_per_usd,"
        " toDayOfMonth(usd_rate_session), price_usd_per_troy_ounce, log_return_usd IS NULL"
        " FROM fct_metal_prices ORDER BY metal DESC, session"
    )
    ounce = 31.1034768
    assert found[:4] == [
        ("XAU", 3, 12957.47, 77.1734, 3, pytest.approx(12957.47 / 77.1734 * ounce), 1),
        ("XAU", 4, 13259.22, 77.6093, 4, pytest.approx(13259.22 / 77.6093 * ounce), 0),
        ("XAU", 5, 12590.95, 77.8009, 5, pytest.approx(12590.95 / 77.8009 * ounce), 0),
        ("XAU", 7, 12600.0, 77.8009, 5, pytest.approx(12600.0 / 77.8009 * ounce), 0),
    ]
    assert found[0][5] == pytest.approx(5222.2, abs=0.1)
    assert found[4:] == [("XAG", 27, 221.0, None, None, None, 1)]
    assert project.value("SELECT count() FROM fct_fx_rates") == 4


def test_a_restated_bar_is_listed_and_a_rebasing_told_apart(project: Project) -> None:
    day, later = date(2020, 1, 2), datetime(2026, 1, 5, tzinfo=UTC)
    restated = {"known_at": later, "available_at": later, "availability": "observed"}
    put(
        project,
        frame(
            [
                bar(day),
                bar(day, "B", 40.0),
                bar(day, "C"),
                bar(day, "D", 9.0, finality="provisional"),
            ]
        ),
        day,
    )
    put(
        project,
        frame(
            [
                bar(day, "A", 10.2, **restated),
                bar(day, "B", 10.0, **restated),
                bar(day, "D", 9.5, **restated),  # a provisional bar that became final
            ]
        ),
        day,
        name="rev-20260105T000000000000Z",
    )
    split = bar(date(2020, 1, 3), "B")
    for name in ("open", "high", "low", "close", "volume"):
        del split[name]
    put(
        project,
        frame([split | {"action": "split", "value": 4.0}], "corporate_actions"),
        date(2020, 1, 3),
        dataset="corporate_actions",
    )
    build(project, REVISIONS)
    moments = [f"{at:%Y-%m-%d %H:%M:%S}.000000" for at in (KNOWN_AT, later)]
    assert project.rows(
        "SELECT instrument_id, kind, value_before, value_after, round(change, 6),"
        " toString(known_before_at), toString(known_at) FROM fct_price_revisions"
        " ORDER BY instrument_id"
    ) == [
        ("A", "revision", 10.0, 10.2, 0.02, *moments),
        ("B", "rebasing", 40.0, 10.0, -0.75, *moments),
    ]


def test_restated_metals_rates_and_actions_are_listed_too(project: Project) -> None:
    day, later = date(2026, 3, 3), datetime(2026, 3, 9, tzinfo=UTC)
    restated = {"known_at": later, "available_at": later, "availability": "observed"}

    def versions(
        dataset: str, *rows: dict[str, object], after: tuple[dict[str, object], ...]
    ) -> None:
        put(project, frame(list(rows), dataset), day, dataset=dataset)
        news = [row | restated for row in after]
        name = "rev-20260309T000000000000Z"
        put(project, frame(news, dataset), day, name=name, dataset=dataset)

    gold = official(day, "XAU", metal="XAU", buy=100.0, sell=110.0)
    silver = official(day, "XAG", metal="XAG", buy=1.0, sell=1.0)
    versions("metal_prices", gold, silver, after=(gold | {"buy": 105.0},))
    dollar = official(day, "USD", quoted_currency="USD", nominal=1.0, rate=80.0)
    versions("fx_rates", dollar, after=(dollar | {"rate": 60.0},))
    who = {"instrument_id": "A", "currency": "USD", "source": "unit"}
    paid = official(day, "A") | who
    dividend = paid | {"action": "dividend", "value": 0.5}
    split = paid | {"action": "split", "value": 2.0}
    # Withdrawn, and listed again.
    versions("corporate_actions", dividend, split, after=(dividend | {"value": 0.0},))
    again = {"known_at": datetime(2026, 3, 10, tzinfo=UTC), "availability": "observed"}
    put(
        project,
        frame([dividend | restated | again], "corporate_actions"),
        day,
        name="rev-20260310T000000000000Z",
        dataset="corporate_actions",
    )
    build(project, REVISIONS)
    assert project.rows(
        "SELECT dataset, symbol, figure, kind, value_before, value_after, round(change, 6),"
        " round(largest_change, 6), volume_before, source FROM fct_price_revisions"
        " ORDER BY dataset, symbol, known_at"
    ) == [
        ("corporate_actions", "A", "dividend", "revision", 0.5, 0.0, -1.0, 1.0, None, "unit"),
        ("corporate_actions", "A", "dividend", "revision", 0.0, 0.5, 1.0, 1.0, None, "unit"),
        ("fx_rates", "USD", "rate", "revision", 80.0, 60.0, -0.25, 0.25, None, "cbr"),
        ("metal_prices", "XAU", "mid", "revision", 105.0, 107.5, 0.02381, 0.05, None, "cbr"),
    ]
