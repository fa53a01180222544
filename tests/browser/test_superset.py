"""Superset's dashboards in a browser and through its API: rows, filters, numbers, no errors."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

from stock_platform.errors import PlatformError
from stock_platform.superset import service
from stock_platform.superset.bundle import ASSETS, Bundle, load
from stock_platform.superset.client import SupersetClient
from stock_platform.superset.compile import files
from stock_platform.warehouse.client import connect
from tests.browser.conftest import Seen, Served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not service.is_installed(), reason="no Superset here: make superset-deps"),
]
VIEWPORT = {"width": 1600, "height": 2900}
TELEMETRY = "gateway.scarf.sh"
"""Superset's pages ask for a tracking pixel, which the policy of superset_config.py blocks: the
browser says so on its console."""


@pytest.fixture(scope="module")
def whole() -> Bundle:
    return load()


@pytest.fixture(scope="module")
def admin(served: Served) -> SupersetClient:
    served.wait_for(f"{served.superset}/health")
    password = service.credentials(served.platform.settings)["admin"]
    return SupersetClient(served.superset, service.ADMINISTRATOR, password)


@dataclass
class Watched:
    """A page and what its charts were answered."""

    page: Page
    seen: Seen
    answers: list[tuple[int, list[int]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.set_default_timeout(60_000)
        self.seen.watch(self.page)
        self.page.on("response", self._response)
        self.page.on(
            "console",
            lambda line: (
                self.errors.append(line.text)
                if line.type == "error" and TELEMETRY not in line.text
                else None
            ),
        )

    def _response(self, response: Response) -> None:
        if "/api/v1/chart/data" in response.url:
            results = response.json().get("result", []) if response.status == 200 else []
            rows = [-1 if one.get("error") else int(one["rowcount"]) for one in results]
            self.answers.append((response.status, rows))

    def settle(self, answers: int = 1) -> None:
        """Wait for so many answers, then for quiet; each is 200 with rows, and no error shows."""
        for _ in range(300):
            if len(self.answers) >= answers:
                break
            self.page.wait_for_timeout(200)
        self.page.wait_for_load_state("networkidle")
        expect(self.page.get_by_role("status", name="Loading")).to_have_count(0)
        bad = [one for one in self.answers if one[0] != 200 or not one[1] or min(one[1]) < 1]
        assert bad == []
        assert len(self.answers) >= answers
        expect(self.page.locator(".ant-alert-error")).to_have_count(0)
        assert self.errors == []
        self.answers.clear()


@pytest.fixture(scope="module")
def session(
    browser: Browser, served: Served, admin: SupersetClient, seen: Seen
) -> Iterator[BrowserContext]:
    """A browser that has logged in by the form."""
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    page.set_default_timeout(60_000)
    seen.watch(page)
    page.goto(f"{served.superset}/login/")
    page.get_by_label("Username").fill(service.ADMINISTRATOR)
    page.get_by_label("Password").fill(service.credentials(served.platform.settings)["admin"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/superset/welcome/")
    page.close()
    yield context
    context.close()


def test_every_chart_returns_rows(admin: SupersetClient, whole: Bundle, seen: Seen) -> None:
    """The time is measured and kept, not judged: the machine may be busy."""
    ids = admin.charts()
    answers = {
        name: admin.ask(ids[str(one.uuid)], force=True) for name, one in whole.charts.items()
    }
    assert {name: answer.error for name, answer in answers.items() if answer.error} == {}
    assert [name for name, answer in answers.items() if not answer.rows] == []
    seconds = sorted(answer.seconds for answer in answers.values())
    seen.chart_seconds_p95 = round(seconds[int(0.95 * len(seconds))], 3)
    seen.charts += len(answers)


@pytest.mark.parametrize("name", ["market", "forecasts", "accuracy"])
def test_a_dashboard_and_its_filters(
    session: BrowserContext, served: Served, whole: Bundle, seen: Seen, name: str
) -> None:
    dashboard = whole.dashboards[name]
    watched = Watched(session.new_page(), seen)
    watched.listen()
    page = watched.page
    page.goto(service.page(served.platform.settings, dashboard.slug))
    watched.settle(len(dashboard.charts()))
    for chart in dashboard.charts():
        title = whole.charts[chart].slice_name
        expect(page.get_by_text(title, exact=True).first).to_be_visible()
    assert _shown(page) >= CELLS[name](served).items()
    seen.shot(page, f"superset-{name}")
    for one in dashboard.filters:
        changed = _choose_dates(page) if one.type == "date" else _choose(page, one.name)
        if changed:
            page.get_by_role("button", name="Apply filters").click()
            watched.settle()
    seen.shot(page, f"superset-{name}-filtered")
    page.close()


def _choose(page: Page, name: str) -> bool:
    """Another value of the filter than the present one; False if that is the only one there is."""
    box = page.locator("[data-test='filter-bar'] .ant-form-item", has_text=name).first
    present = box.locator(".ant-select-selection-item").all_inner_texts()
    box.get_by_role("combobox").click(force=True)  # the present value lies over it
    options = page.locator(".ant-select-dropdown:visible .ant-select-item-option")
    expect(options.first).to_be_visible()
    others = [option for option in options.all() if option.inner_text() not in present]
    if others:
        others[-1].click()
    page.keyboard.press("Escape")
    expect(page.locator(".ant-select-dropdown:visible")).to_have_count(0)
    return bool(others)


def _choose_dates(page: Page) -> bool:
    """A span that has something in every chart, of the sample and of the simulated market."""
    page.locator("[data-test='filter-bar']").get_by_text("No filter").click()
    popover = page.locator(".ant-popover:visible")
    popover.get_by_role("combobox").click(force=True)
    page.locator(".ant-select-dropdown:visible").get_by_text("Advanced", exact=True).click()
    start, end = popover.get_by_role("textbox").all()
    start.fill("2000-01-01")
    end.fill("2100-01-01")
    popover.get_by_role("button", name="Apply").click()
    return True


def _shown(page: Page) -> set[tuple[str, str]]:
    """Title and figure of the row on top."""
    found = set()
    for cell in page.locator(".dashboard-component-chart-holder").all():
        number = cell.locator(".header-line")
        if number.count():
            title = cell.locator("[data-test='editable-title']").first.inner_text()
            found.add((title, number.first.inner_text()))
    return found


def _market(served: Served) -> dict[str, str]:
    last = """
        SELECT close * split_factor AS now, lagInFrame(close * split_factor) OVER (
            PARTITION BY instrument_id ORDER BY session
        ) AS before, session = max(session) OVER (PARTITION BY instrument_id) AS newest,
        session > (SELECT max(session) FROM market.int_daily_prices) - 7 AS recent
        FROM market.int_daily_prices
    """
    risen, count = _one(
        served, f"SELECT countIf(now > before), count() FROM ({last}) WHERE newest AND recent"
    )
    return {"How many rose?": str(risen), "How many?": str(count)}


def _forecasts(served: Served) -> dict[str, str]:
    newest = """
        SELECT argMax(p_up, (origin_session, issued_at)) AS p FROM market.forecasts
        WHERE role = 'champion' AND horizon = 5 GROUP BY instrument_id
    """
    (p_up,) = _one(served, f"SELECT avg(p) FROM ({newest})")
    return {"Will it rise?": f"{p_up:.0%}"}


def _accuracy(served: Served) -> dict[str, str]:
    count, skill, inside = _one(
        served,
        """
        SELECT count(), 1 - sum(pinball_loss) / sum(baseline_pinball_loss), avg(is_inside_80)
        FROM market.fct_forecast_accuracy
        """,
    )
    sign = "−" if skill < 0 else "+"  # noqa: RUF001 - D3 writes the true minus
    return {
        "Scored?": f"{count:,}",
        "Any skill?": f"{sign}{abs(skill):.2%}",
        "In 80 %?": f"{inside:.1%}",
    }


CELLS = {"market": _market, "forecasts": _forecasts, "accuracy": _accuracy}


def _one(served: Served, sql: str) -> tuple:
    client = connect(served.platform.settings, user="reader")
    try:
        return client.query(sql).result_rows[0]
    finally:
        client.close()


def test_anonymous_viewers_see_what_is_published(
    browser: Browser, admin: SupersetClient, served: Served, whole: Bundle, seen: Seen
) -> None:
    rows = admin.get("/api/v1/dashboard/").json()["result"]
    ids = {row["slug"]: row["id"] for row in rows}
    hidden = admin.session.put(
        f"{served.superset}/api/v1/dashboard/{ids['forecasts']}", json={"published": False}
    )
    assert hidden.status_code == 200
    anonymous = SupersetClient(served.superset)
    listed = anonymous.get("/api/v1/dashboard/").json()["result"]
    assert {row["slug"] for row in listed} == {"market", "accuracy"}
    assert anonymous.get("/api/v1/dashboard/forecasts").status_code in (403, 404)
    for path in ("database/", "dataset/", "query/", "saved_query/", "security/users/", "log/"):
        answer = anonymous.get(f"/api/v1/{path}")
        assert answer.status_code != 200 or answer.json()["count"] == 0, path
    assert anonymous.get("/sqllab/").url.startswith(f"{served.superset}/login/")
    context = browser.new_context(viewport=VIEWPORT)
    watched = Watched(context.new_page(), seen)
    watched.listen()
    watched.page.goto(service.page(served.platform.settings, "accuracy"))
    watched.settle(len(whole.dashboards["accuracy"].charts()))
    seen.shot(watched.page, "superset-anonymous")
    context.close()


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO market.dim_session SELECT * FROM market.dim_session",
        "CREATE TABLE market.mine (x Int8) ENGINE = Memory",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1/lake/x.parquet')",
        "SELECT * FROM sqlite('mlflow.db', 'runs')",
        "SELECT * FROM system.query_log",
        "SELECT * FROM dagster.runs",
    ],
)
def test_sql_lab_reads_the_marts_and_nothing_else(admin: SupersetClient, sql: str) -> None:
    """Superset's administrator asks as the warehouse's read-only user."""
    database = admin.get("/api/v1/database/").json()["result"][0]["id"]

    def ask(text: str) -> tuple[int, dict]:
        body = {"database_id": database, "sql": text, "runAsync": False, "schema": "market"}
        answer = admin.session.post(f"{admin.url}/api/v1/sqllab/execute/", json=body)
        return answer.status_code, answer.json()

    status, answer = ask("SELECT count() AS n FROM market.dim_instrument")
    assert (status, answer["data"][0]["n"] > 0) == (200, True)
    status, answer = ask(sql)
    assert status >= 400, answer
    assert answer["errors"]


def test_applied_again_and_again(
    admin: SupersetClient, served: Served, whole: Bundle, tmp_path: Path
) -> None:
    """What is gone from the YAML goes, a user's own stays, a refused import changes nothing."""
    settings = served.platform.settings
    before = json.loads((service.folder(settings) / "applied.json").read_text())
    own = admin.session.post(
        f"{admin.url}/api/v1/chart/",
        json={
            "slice_name": "Mine",
            "datasource_id": next(iter(admin.datasets().values())),
            "datasource_type": "table",
            "viz_type": "table",
        },
    )
    assert own.status_code == 201

    copy = Path(shutil.copytree(ASSETS, tmp_path / "assets"))
    (copy / "charts/accuracy/error_by_horizon.yaml").unlink()
    page = copy / "dashboards/accuracy.yaml"
    broken = served.platform.command(
        "stock-platform", "superset", "apply", "--assets", str(copy), check=False
    )
    assert broken.returncode == 1
    told = r"dashboards/accuracy.yaml, rows\[\d\].cells\[\d\].chart: .*error_by_horizon"
    assert re.search(told, broken.stderr)
    page.write_text(page.read_text().replace(", {chart: error_by_horizon, width: 4}", ""))
    fewer = service.apply(settings, files(load(copy)))
    assert fewer.counts == before["counts"] | {"charts": before["counts"]["charts"] - 1}
    assert fewer.pruned == ["charts/" + whole.charts["error_by_horizon"].slice_name]
    assert str(own.json()["id"]) in {str(one) for one in admin.charts().values()}

    refused = files(load())
    first, last = (f"charts/{name}.yaml" for name in (min(whole.charts), max(whole.charts)))
    refused[first] = refused[first].replace(whole.charts[min(whole.charts)].slice_name, "Changed?")
    refused[last] = yaml.safe_dump(yaml.safe_load(refused[last]) | {"unknown": 1})
    with pytest.raises(PlatformError, match=r"(?s)unknown.*|Unknown field"):
        service.apply(settings, refused)
    assert len(admin.charts()) == fewer.counts["charts"] + 1
    assert "Changed?" not in admin.get("/api/v1/chart/?q=(page_size:100)").text

    again = service.apply(settings, files(load()))
    assert again.counts == before["counts"]
    restored = str(whole.charts["error_by_horizon"].uuid)
    for kind, ids in before["ids"].items():
        same = {uuid: number for uuid, number in ids.items() if uuid != restored}
        assert same.items() <= again.ids[kind].items()
    unchanged = service.apply(settings, files(load()))
    assert (unchanged.counts, unchanged.ids) == (again.counts, again.ids)
