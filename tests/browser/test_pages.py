"""The pages of `make up` in a real browser: the graph, a run started by hand, the experiments."""

import re

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


GRAPH_VIEWPORT = {"width": 1900, "height": 3200}
"""Room for the whole graph with every group open."""
MARGIN = 20


def test_asset_graph_is_whole(browser: Browser, served: Served, seen: Seen) -> None:
    """Every asset and every group lies inside the page; docs/asset-graph.png is this picture."""
    page = browser.new_page(viewport=GRAPH_VIEWPORT, device_scale_factor=1.5)
    page.set_default_timeout(60_000)
    seen.watch(page)
    query = "{assetNodes {groupName assetKey {path}}}"
    answer = page.request.post(f"{served.dagster}/graphql", data={"query": query})
    nodes = answer.json()["data"]["assetNodes"]
    groups = {node["groupName"] for node in nodes}
    opened = ",".join(f"global@global:{group}" for group in sorted(groups))
    page.goto(f"{served.dagster}/asset-groups?expanded={opened}")
    boxes = page.locator("svg foreignObject").filter(has_text=re.compile(r"\w"))
    expect(boxes).to_have_count(len(nodes) + len(groups))
    page.get_by_text("Hide navigation").click()
    page.wait_for_timeout(2_000)  # the graph glides to its place
    places = [box.bounding_box() for box in boxes.all()]
    assert all(places)
    left = min(place["x"] for place in places) - MARGIN
    top = min(place["y"] for place in places) - MARGIN
    right = max(place["x"] + place["width"] for place in places) + MARGIN
    bottom = max(place["y"] + place["height"] for place in places) + MARGIN
    graph = page.locator("svg", has=page.locator("foreignObject")).first.locator("xpath=..")
    around = graph.bounding_box()
    assert around is not None
    assert left >= around["x"], "cut at the left"
    assert top >= around["y"], "cut at the top"
    assert right <= GRAPH_VIEWPORT["width"], "cut at the right"
    assert bottom <= GRAPH_VIEWPORT["height"], "cut at the bottom"
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    seen.shot(page, "dagster-graph", clip)


def test_lineage_of_the_forecasts(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/assets/forecasts?view=lineage&lineageScope=upstream")
    expect(page.get_by_text("promotions", exact=True).first).to_be_visible()
    seen.shot(page, "dagster-lineage-of-forecasts")


def test_forecasts_page_shows_the_fan(page: Page, served: Served, seen: Seen) -> None:
    page.goto(f"{served.dagster}/assets/forecasts")
    fan = page.get_by_role("row").filter(has_text="forecast_fan")
    fan.get_by_text("[Show Markdown]").click()
    image = page.get_by_role("img", name="forecast of the week ahead")
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
    query = "{runsOrError(limit: 1) {... on Runs {results {id status assetSelection {path}}}}}"
    for _ in range(120):
        answer = page.request.post(f"{served.dagster}/graphql", data={"query": query})
        (run,) = answer.json()["data"]["runsOrError"]["results"]
        if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"}:
            break
        page.wait_for_timeout(1000)
    assert (run["assetSelection"][0]["path"][0], run["status"]) == (target, "SUCCESS")
    page.goto(f"{served.dagster}/runs/")
    # The page cuts a target's name to the column's width; the run's link is always whole.
    expect(page.get_by_role("link", name=f"run {run['id'][:8]}")).to_be_visible()
    expect(page.get_by_text("Queued", exact=True)).to_have_count(0)


def test_experiments_page_lists_the_refits(page: Page, served: Served, seen: Seen) -> None:
    page.goto(served.mlflow)
    expect(page.get_by_text("week_ahead_price").first).to_be_visible()
    seen.shot(page, "mlflow")


def test_dbt_docs_describe_a_mart_and_show_its_lineage(
    page: Page, served: Served, seen: Seen
) -> None:
    """Made when the page is opened: the first visit waits for it."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.docs)
    page.get_by_placeholder("Search for models...").fill("fct_daily_prices")
    page.locator(".result-body h4", has_text=re.compile(r"^\s*fct_daily_prices")).click()
    expect(page.get_by_role("heading", name="fct_daily_prices")).to_be_visible()
    page.locator("tr.column-row", has_text="close_total_return").click()
    described = page.get_by_text("with payments reinvested, in currency").locator("visible=true")
    expect(described.first).to_be_visible()
    seen.shot(page, "dbt-docs-model")
    page.get_by_title("View Lineage Graph").click()
    page.wait_for_timeout(1_000)  # the graph grows to its place
    seen.shot(page, "dbt-docs-lineage")
    shown = page.evaluate(
        "document.querySelector('#cy')._cyreg.cy.nodes(':visible').map(node => node.data('name'))"
    )
    assert {"int_daily_prices", "fct_daily_prices"} <= set(shown)
    assert [url for url in asked if not url.startswith(served.docs)] == []


def test_nothing_failed(seen: Seen) -> None:
    assert seen.failures == []
