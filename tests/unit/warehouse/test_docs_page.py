"""The page of the dbt docs: made once per state, when asked for; never half a page."""

import threading
from pathlib import Path

import pytest

from stock_platform.errors import PlatformError
from stock_platform.warehouse.docs_page import DocsPage


class Project:
    """A documentation that counts how often it is written, slowly if told to."""

    def __init__(self, folder: Path) -> None:
        self.state = "one"
        self.made = 0
        self.problem = ""
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.page = DocsPage(folder, self._now, self._make)

    def _now(self) -> str:
        if self.state == "unknown":
            raise PlatformError("no warehouse <yet>")
        return self.state

    def _make(self, path: Path) -> None:
        self.made += 1
        if self.problem:
            raise PlatformError(self.problem)
        path.write_text("half of it")
        self.begun.set()
        assert self.go.wait(10)
        path.write_text(f"all of {self.state}")

    def settled(self) -> tuple[int, bytes]:
        """The answer once it is no page to wait on."""
        for _ in range(500):
            code, content = self.page.answer()
            if b"refresh" not in content:
                return code, content
            threading.Event().wait(0.01)
        raise AssertionError("still waiting")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "pages")


def test_nothing_is_made_before_somebody_asks_and_then_once(project: Project) -> None:
    assert project.made == 0
    project.go.clear()
    assert b"refresh" in project.page.answer()[1]
    assert project.begun.wait(10)
    for _ in range(3):
        assert b"refresh" in project.page.answer()[1]
    project.go.set()
    assert project.settled() == (200, b"all of one")
    assert project.settled() == (200, b"all of one")
    assert project.made == 1


def test_it_is_made_again_when_the_state_changes(project: Project, tmp_path: Path) -> None:
    project.settled()
    project.state = "two"
    assert project.settled() == (200, b"all of two")
    again = Project(tmp_path / "pages")
    again.state = "two"
    assert again.page.answer() == (200, b"all of two")
    assert again.made == 0
    assert [file.name for file in (tmp_path / "pages").iterdir()] == ["two.html"]


def test_a_failure_is_shown_and_tried_again(project: Project) -> None:
    project.problem = "Compilation Error in <model>"
    code, content = project.settled()
    assert (code, b"Compilation Error in &lt;model&gt;" in content) == (500, True)
    project.problem = ""
    assert project.settled() == (200, b"all of one")


def test_it_waits_for_the_warehouse(project: Project) -> None:
    project.state = "unknown"
    code, content = project.page.answer()
    assert code == 200
    assert b"no warehouse &lt;yet&gt;" in content
    assert b"refresh" in content
    assert project.made == 0
