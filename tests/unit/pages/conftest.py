"""A warehouse with the tables of the dbt contracts, and pages opened on it without a browser."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from stock_platform.settings import Settings
from stock_platform.warehouse.client import connect
from stock_platform.warehouse.local import ensure_running
from tests.support import page_world
from tests.support.platform import free_port

SCRIPT = """
from stock_platform.pages import {0}
from stock_platform.pages.parts import page
page({0}.show)()
"""
Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running warehouse with the small market."""
    settings = Settings(
        home=tmp_path_factory.mktemp("pages"),
        warehouse_port=free_port(),
        source=page_world.SOURCE,
    )
    with ensure_running(settings):
        client = connect(settings)
        page_world.create(client)
        page_world.fill(client)
        page_world.forecast(client)
        client.close()
        yield settings


@pytest.fixture
def client(world: Settings) -> Iterator[Any]:
    connection = connect(world)
    yield connection
    connection.close()


@pytest.fixture
def open_page(world: Settings, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page with the parameters of its address."""
    monkeypatch.setenv("STOCK_PLATFORM_HOME", str(world.home))
    monkeypatch.setenv("STOCK_PLATFORM_SOURCE", world.source)

    def opened(name: str, **address: str) -> AppTest:
        st.cache_data.clear()
        test = AppTest.from_string(SCRIPT.format(name), default_timeout=30)
        test.query_params.update(address)
        return test.run()

    return opened


def texts(test: AppTest) -> str:
    """Everything a page says in its notes, captions and paragraphs."""
    kinds = (test.info, test.warning, test.success, test.error, test.caption, test.markdown)
    return "\n".join(element.value for kind in kinds for element in kind)


def facts(test: AppTest) -> dict[str, str]:
    """Its figures by label."""
    return {str(metric.label): str(metric.value) for metric in test.metric}
