"""The main job on real prices: forecasts on record, scored, repeatable."""

import json
from datetime import date

import pytest

from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support import state
from tests.support.platform import Platform

# The first test waits for the whole run of the fixture, on a busy machine too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = ("AAPL", "GOOG", "IBM", "MSFT")


def query(platform: Platform, sql: str) -> list[tuple[object, ...]]:
    with ensure_running(platform.settings):
        client = connect(platform.settings)
        try:
            return [tuple(row) for row in client.query(sql).result_rows]
        finally:
            client.close()


def test_table_names_every_share_and_the_refusal(sample: Platform) -> None:
    printed = (sample.home / "first_run.txt").read_text()
    for symbol in LONG:
        assert symbol in printed
    assert "FB (history_too_short" in printed


def test_two_years_of_forecasts_each_scored(sample: Platform) -> None:
    rows = query(
        sample,
        """
        SELECT symbol, uniqExact(origin_session), min(kind), max(kind)
        FROM market.forecasts WHERE role = 'champion' GROUP BY symbol ORDER BY symbol
        """,
    )
    assert [row[0] for row in rows] == list(LONG)
    assert all(int(str(row[1])) >= 104 for row in rows)
    assert {row[2:] for row in rows} == {("backtest", "backtest")}
    matured, scored = query(
        sample,
        """
        SELECT
            (SELECT count() FROM market.forecasts AS f
             INNER JOIN market.int_daily_prices AS p
                 ON p.instrument_id = f.instrument_id AND p.session = f.target_session
             WHERE f.role = 'champion'),
            (SELECT count() FROM market.fct_forecast_accuracy)
        """,
    )[0]
    assert matured == scored != 0


def test_last_forecast_is_pending(sample: Platform) -> None:
    origin, target = query(
        sample, "SELECT max(origin_session), max(target_session) FROM market.forecasts"
    )[0]
    assert (origin, target) == (date(2013, 3, 1), date(2013, 3, 8))


def test_split_of_apple_leaves_no_jump(sample: Platform) -> None:
    before, after = query(
        sample,
        "SELECT close_traded, close_adjusted, log_return FROM market.fct_daily_prices"
        " WHERE symbol = 'AAPL' AND session IN ('2005-02-25', '2005-02-28') ORDER BY session",
    )
    assert (before[0], after[0]) == (88.99, 44.86)
    assert (before[1], after[1]) == (pytest.approx(44.495), pytest.approx(44.86))
    assert after[2] == pytest.approx(0.00817, abs=1e-5)


def test_second_run_finds_all_up_to_date_and_changes_nothing(sample: Platform) -> None:
    objects, tables = state.lake_objects(sample), state.tables(sample)
    again = sample.run()
    assert again.stderr.count("up to date") == 4
    assert state.lake_objects(sample) == objects
    assert state.tables(sample) == tables


RANGE = {
    "dagster/asset_partition_range_start": "2012-01-01",
    "dagster/asset_partition_range_end": "2012-12-31",
}
QUARTER = "2012-10-01...2012-12-31"
WEEKLY = "week_ahead_model,promotions,forecasts"


@pytest.mark.parametrize(
    "command",
    [
        ["asset", "materialize", "--select", "raw/sample", "--partition", "2005-02-28"],
        ["job", "execute", "-j", "build_marts"],
        ["asset", "materialize", "--select", WEEKLY, "--partition", "2012-06-04"],
        [
            "asset",
            "materialize",
            "--select",
            "forecasts",
            "--partition-range",
            "2012-10-01...2012-12-31",
        ],
        ["job", "execute", "-j", "ingest", "--tags", json.dumps(RANGE)],
        ["job", "execute", "-j", "score_forecasts"],
        ["asset", "materialize", "--select", WEEKLY, "--partition", "2000-06-05"],
    ],
    ids=lambda command: " ".join(command[:4]),
)
def test_materializing_again_with_dagster_changes_nothing(
    sample: Platform, command: list[str]
) -> None:
    objects, tables = state.lake_objects(sample), state.tables(sample)
    digests = state.digests(sample)
    assert list(digests) == ["sample-2013-02-25.html", "sample-2013-02-25.md"]
    sample.command("dagster", *command, "-m", "stock_platform.definitions")
    assert state.lake_objects(sample) == objects
    assert state.tables(sample) == tables
    assert state.digests(sample) == digests


@pytest.mark.parametrize("order", ["cityHash64(forecast_id)", "origin_session"])
def test_published_forecast_is_reproduced_from_its_row(sample: Platform, order: str) -> None:
    """Any row; and one from before FB was listed, which the run read together with it."""
    (forecast_id,) = query(
        sample,
        "SELECT forecast_id FROM market.forecasts WHERE role = 'champion' AND horizon = 5"
        f" ORDER BY {order} LIMIT 1",
    )[0]
    sample.command("stock-platform", "reproduce", str(forecast_id))


def test_a_week_that_was_materialized_last_is_not_taken_for_the_newest(sample: Platform) -> None:
    again = sample.run()
    assert "FB (history_too_short: 196 bars" in again.stdout


def test_json_output_holds_the_table(sample: Platform) -> None:
    printed = sample.command("stock-platform", "run", "--json").stdout
    answer = json.loads(printed)
    assert [row["symbol"] for row in answer["forecasts"]] == list(LONG)
    assert list(answer["refusals"]) == ["FB"]


def test_a_mart_that_is_gone_or_empty_is_made_again(sample: Platform) -> None:
    before = state.tables(sample)
    with ensure_running(sample.settings):
        client = connect(sample.settings)
        client.command("DROP VIEW market.fct_daily_prices")
        client.command("TRUNCATE TABLE market.stg_corporate_actions")
        client.close()
        sample.run()
    assert state.tables(sample) == before
