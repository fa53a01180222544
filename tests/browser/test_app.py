"""The app in a real browser: every page, every control, and three cells against the warehouse.

docs/app-*.png are pictures from here, made on the packaged sample by `make screenshots`.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from stock_platform.warehouse.client import connect
from tests.browser.conftest import Seen, Served, expected_missing

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
WIDE, PHONE = {"width": 1280, "height": 1180}, {"width": 390, "height": 1180}

# A choice reaches the server after a moment, and a page that has just opened runs once more.
IDLE = """() => {
    const app = document.querySelector("[data-testid=stApp]");
    if (app?.dataset.testScriptState !== "notRunning") window.idleSince = undefined;
    else window.idleSince ??= performance.now();
    return performance.now() - window.idleSince > 500;
}"""


@pytest.fixture
def page(browser: Browser, served: Served, seen: Seen) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(30_000)
    seen.watch(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not expected_missing(message.location["url"]):
            seen.failures.append(f"{page.url}: {message.text}")

    page.on("console", note)
    yield page
    context.close()
    local = (served.app, served.app.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(local)] == [], "the app works offline"


@pytest.fixture(scope="module")
def warehouse(served: Served) -> Iterator[Any]:
    client = connect(served.platform.settings, user="reader")
    yield client
    client.close()


def is_done(page: Page) -> None:
    """The script has ended, and nothing on the page is an error."""
    page.evaluate("window.idleSince = undefined")
    page.wait_for_function(IDLE, polling=50)
    expect(page.get_by_text(re.compile(r"^Made in \d"))).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def opened(page: Page, served: Served, address: str) -> Page:
    page.goto(f"{served.app}{address}")
    is_done(page)
    return page


def fact(page: Page, label: str) -> str:
    """The value of a figure."""
    metric = page.get_by_test_id("stMetric").filter(has_text=label)
    return metric.get_by_test_id("stMetricValue").inner_text()


def choose(page: Page, label: str, place: int = -1) -> str:
    """Take an option of a list, by the keyboard; its text."""
    box, options = page.get_by_role("combobox", name=label), page.get_by_role("option")
    expect(options).to_have_count(0)  # the list before has closed
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(options.first).to_be_visible()
    text = options.all_inner_texts()[place]
    page.keyboard.press("Escape")
    box.press_sequentially(text)
    page.keyboard.press("Enter")
    is_done(page)
    return text


def press(page: Page, group: str, name: str) -> None:
    """Press a segment of a control."""
    control = page.get_by_test_id("stButtonGroup").filter(has_text=group)
    control.get_by_role("radio", name=name, exact=True).click()
    is_done(page)


def charts(page: Page, number: int) -> Locator:
    """At least so many pictures, each drawn."""
    drawn = page.get_by_test_id("stVegaLiteChart").locator("canvas.marks, svg.marks")
    expect(drawn.nth(number - 1)).to_be_visible()
    return drawn


def test_instrument(page: Page, served: Served, seen: Seen, warehouse: Any) -> None:
    opened(page, served, "/")
    seen.charts += charts(page, 4).count()
    seen.shot(page, "app-instrument")
    symbol, close = warehouse.query(
        "SELECT symbol, argMax(close, session) FROM int_daily_prices"
        " WHERE instrument_id = (SELECT instrument_id FROM dim_instrument"
        " ORDER BY symbol, instrument_id LIMIT 1) GROUP BY symbol"
    ).result_rows[0]
    assert fact(page, f"{symbol}, close").startswith(f"{close:,.2f} ")
    for group, names in {
        "Range": ("3M", "5Y", "All"),
        "Prices": ("as traded", "payments reinvested"),
        "Sessions ahead": ("1", "3"),
    }.items():
        for name in names:
            press(page, group, name)
    assert "range=All" in page.url
    assert "horizon=3" in page.url
    choose(page, "Record")
    other = choose(page, "Instrument").partition(" · ")[0]
    assert other != symbol
    page.reload()  # the address holds the choice
    is_done(page)
    assert fact(page, f"{other}, close")


def test_accuracy(page: Page, served: Served, seen: Seen, warehouse: Any) -> None:
    opened(page, served, "/accuracy")
    seen.charts += charts(page, 6).count()
    seen.shot(page, "app-accuracy")
    weeks, inside = warehouse.query(
        "SELECT count(), avg(inside) FROM (SELECT avg(is_inside_80) AS inside"
        " FROM fct_forecast_accuracy WHERE horizon = 5 GROUP BY toMonday(origin_session))"
    ).result_rows[0]
    assert fact(page, "Weeks") == str(weeks)
    assert fact(page, "Inside 80 %") == f"{100 * inside:.1f} %"
    for group, names in {"Sessions ahead": ("1", "5"), "Interval": ("50 %", "95 %")}.items():
        for name in names:
            press(page, group, name)
    for label in ("Record", "Model", "Instrument"):
        choose(page, label)


def test_market(page: Page, served: Served, seen: Seen, warehouse: Any) -> None:
    opened(page, served, "/market")
    seen.charts += charts(page, 4).count()
    seen.shot(page, "app-market")
    session, rose, fell = warehouse.query(
        "SELECT session, advances, declines FROM agg_market_overview WHERE sector = ''"
        " ORDER BY session DESC LIMIT 1"
    ).result_rows[0]
    assert fact(page, "Session") == str(session)
    assert fact(page, "Rose | fell") == f"{rose} | {fell}"
    for name in ("3M", "All"):
        press(page, "Range", name)
    for label in ("Exchange calendar", "Sector"):
        choose(page, label)
    opened(page, served, f"/market?session={session.replace(day=1)}")


def test_model(page: Page, served: Served, seen: Seen, warehouse: Any) -> None:
    opened(page, served, "/model")
    seen.shot(page, "app-model")
    (champion,) = warehouse.query(
        "SELECT argMax(model_name, (data_as_of, decided_at, decision_id)) FROM promotions"
    ).result_rows[0]
    assert fact(page, "Champion") == champion
    rows = warehouse.query("SELECT count() FROM promotions").result_rows[0][0]
    expect(page.get_by_test_id("stTable").first.locator("tbody tr")).to_have_count(min(rows, 12))
    for label in ("Pool", "Decision"):
        choose(page, label)


def test_a_day_in_the_past(page: Page, served: Served, seen: Seen, warehouse: Any) -> None:
    """The address says the day; the page what the world knew at its end, and this platform."""
    (day,) = warehouse.query(
        "SELECT max(session) FROM int_daily_prices WHERE toDayOfWeek(session) = 3"
    ).result_rows[0]
    opened(page, served, f"/?known_on={day}")
    expect(page.get_by_text(f"As of the end of {day}")).to_be_visible()
    seen.shot(page, "app-then")
    choose(page, "Whose knowledge")
    expect(page.get_by_text("this platform had fetched no bar")).to_be_visible()
    opened(page, served, f"/model?known_on={day}")


def test_phone_and_dark(browser: Browser, served: Served, seen: Seen) -> None:
    context = browser.new_context(viewport=PHONE, is_mobile=True, device_scale_factor=2)
    page = context.new_page()
    seen.watch(page)
    for name in ("", "market", "accuracy", "model"):
        opened(page, served, f"/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    opened(page, served, "/")
    charts(page, 1)
    seen.shot(page, "app-phone")
    page.emulate_media(color_scheme="dark")
    opened(page, served, "/")
    charts(page, 1)
    background = page.get_by_test_id("stApp").evaluate(
        "app => getComputedStyle(app).backgroundColor"
    )
    assert background == "rgb(18, 22, 28)"
    seen.shot(page, "app-phone-dark")
    context.close()


def test_download_has_what_is_shown(page: Page, served: Served, tmp_path: Any) -> None:
    opened(page, served, "/model")
    with page.expect_download() as told:
        page.get_by_role("button", name="Download CSV").first.click()
    lines = (told.value.path()).read_text().splitlines()
    assert lines[0].startswith("decided_at,data_as_of,pool,action,model_name")
    assert len(lines) > 1


def test_nothing_failed_in_the_app(seen: Seen) -> None:
    assert seen.failures == []
