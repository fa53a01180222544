"""The pages of `make up` in a real browser: the graph, a run started by hand, the experiments."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Seen, Served

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def page(browser: Browser, seen: Seen) -> Page:
    page = browser.new_page(viewport={"width": 1680, "height": 1050})
    page.set_default_timeout(60_000)
    seen.watch(page)
    return page


def test_asset_graph_shows_the_lineage(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/asset-groups/")
    for group in ("ingestion", "staging", "marts", "training", "forecasting", "accuracy"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    seen.shot(page, "dagster-graph")
    page.goto(f"{served.dagster}/assets/forecasts?view=lineage&lineageScope=upstream")
    expect(page.get_by_text("promotions", exact=True).first).to_be_visible()
    seen.shot(page, "dagster-lineage-of-forecasts")


def test_forecasts_page_shows_the_fan(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/assets/forecasts")
    fan = page.get_by_role("row").filter(has_text="forecast_fan")
    fan.get_by_text("[Show Markdown]").click()
    image = page.get_by_role("img", name="next week's forecast")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 400
    seen.charts += 1
    seen.shot(page, "dagster-forecast-fan")


def test_runs_page_lists_the_stages_as_successful(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/runs/")
    for job in ("ingest", "build_marts", "forecast_week", "score_forecasts"):
        expect(page.get_by_text(job, exact=True).first).to_be_visible()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_text("Failure", exact=True)).to_have_count(0)
    seen.shot(page, "dagster-runs")


def test_materialize_button_runs_an_asset(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/assets/dim_session")
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text("Launched run").first).to_be_visible()
    _expect_newest_run(page, served, "dim_session")
    seen.shot(page, "dagster-materialized")


def test_materialize_button_runs_a_partition(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/assets/raw/simulated")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Latest", exact=True).first.click()
    seen.shot(page, "dagster-partition-dialog")
    page.get_by_role("button", name="Launch").last.click()
    expect(page.get_by_text("Launched run").first).to_be_visible()
    _expect_newest_run(page, served, "raw")


def _expect_newest_run(page: Page, served: Served, target: str) -> None:
    """The newest run is of `target` and ends well, and the runs page says so."""
    query = "{runsOrError(limit: 1) {... on Runs {results {status assetSelection {path}}}}}"
    for _ in range(120):
        answer = page.request.post(f"{served.dagster}/graphql", data={"query": query})
        (run,) = answer.json()["data"]["runsOrError"]["results"]
        if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}:
            break
        page.wait_for_timeout(1000)
    assert (run["assetSelection"][0]["path"][0], run["status"]) == (target, "SUCCESS")
    page.goto(f"{served.dagster}/runs/")
    expect(page.get_by_text(target).first).to_be_visible()
    expect(page.get_by_text("Queued", exact=True)).to_have_count(0)


def test_experiments_page_lists_the_refits(page: Page, served: Served, seen: Seen) -> None:
    page.goto(served.mlflow)
    expect(page.get_by_text("week_ahead_price").first).to_be_visible()
    seen.shot(page, "mlflow")


def test_nothing_failed(seen: Seen) -> None:
    assert seen.failures == []
