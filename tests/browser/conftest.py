"""A headless Chromium, a platform served by `stock-platform up`, and a record of what was seen."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, FloatRect, Page, Response, expect, sync_playwright

from stock_platform.settings import PROJECT_ROOT
from tests.support.platform import Platform, free_port

BUILD = PROJECT_ROOT / "build"
expect.set_options(timeout=30_000)  # a busy machine draws slowly
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# MLflow's page asks who is logged in; without its optional user management the answer is 404.
NO_USERS = "/mlflow/users/current"
# Opened at a page's own address, the app looks for its server there first, then at the root.
NOT_AT_THE_ROOT = re.compile(r"/(market|accuracy|model)/_stcore/(health|host-config)$")


@dataclass
class Seen:
    """What the pages did: written to build/browser.json."""

    pages: int = 0
    charts: int = 0
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    chart_seconds_p95: float | None = None
    """Of Superset's data endpoint, over all charts."""

    def watch(self, page: Page) -> None:
        """Count requests of a page; note errors of its script and of its server."""
        page.on("response", self._response)
        page.on("pageerror", lambda error: self.failures.append(f"{page.url}: {error}"))

    def _response(self, response: Response) -> None:
        self.requests += 1
        if response.status >= 400 and not expected_missing(response.url):
            self.failures.append(f"{response.status} {response.url}")

    def shot(self, page: Page, name: str, clip: FloatRect | None = None) -> None:
        """Keep a screenshot of the page as it stands, or of a part of it."""
        self.pages += 1
        (BUILD / "screenshots").mkdir(parents=True, exist_ok=True)
        path = BUILD / "screenshots" / f"{name}.png"
        page.screenshot(path=path, clip=clip, animations="disabled")  # no dialog half faded in


def expected_missing(url: str) -> bool:
    """Whether a page asks for this though its server does not have it."""
    return url.endswith(NO_USERS) or bool(NOT_AT_THE_ROOT.search(url))


@pytest.fixture(scope="session")
def seen() -> Iterator[Seen]:
    record = Seen()
    yield record
    BUILD.mkdir(exist_ok=True)
    (BUILD / "browser.json").write_text(json.dumps(asdict(record), indent=2))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: make browser-deps installs it")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Served:
    """A platform with its pages."""

    platform: Platform
    dagster: str
    mlflow: str
    docs: str
    app: str
    superset: str
    up: subprocess.Popen[bytes]

    def wait_for(self, url: str) -> None:
        """Wait until a page that starts slowly answers."""
        _wait_for(url, self.up, self.platform.home / "up.log")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The simulated market, run once and served on free ports."""
    dagster, mlflow, docs, app, superset = (free_port() for _ in range(5))
    platform = Platform(
        Path(tmp_path_factory.mktemp("served")),
        {
            "STOCK_PLATFORM_SOURCE": os.environ.get("BROWSER_SOURCE", "simulated"),
            "STOCK_PLATFORM_SIMULATED_INSTRUMENTS": "3",
            "STOCK_PLATFORM_SIMULATED_YEARS": "5",
            "STOCK_PLATFORM_BACKTEST_WEEKS": "30",
            "STOCK_PLATFORM_DAGSTER_PORT": str(dagster),
            "STOCK_PLATFORM_MLFLOW_PORT": str(mlflow),
            "STOCK_PLATFORM_DOCS_PORT": str(docs),
            "STOCK_PLATFORM_PAGES_PORT": str(app),
            "STOCK_PLATFORM_SUPERSET_PORT": str(superset),
        },
    )
    platform.run()
    with (platform.home / "up.log").open("w") as log:
        up = subprocess.Popen(
            ["stock-platform", "up"],
            cwd=PROJECT_ROOT,
            env=platform.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for port in (dagster, mlflow, docs, app):
            _wait_for(f"http://127.0.0.1:{port}/", up, platform.home / "up.log")
        addresses = (f"http://127.0.0.1:{port}" for port in (dagster, mlflow, docs, app, superset))
        yield Served(platform, *addresses, up)
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(60)
        platform.down()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: int = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"{url} did not answer:\n{log.read_text()}")
