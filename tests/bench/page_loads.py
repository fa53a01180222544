"""How long the app's pages take on the server, the first time and with the answers kept.

Measured by bench_warehouse.py on its large market: a page is the same script that a browser runs.
"""

from __future__ import annotations

import os
import time
from typing import Any
from unittest.mock import patch

from stock_platform.settings import Settings

PAGES = ("instrument", "market", "accuracy", "model")
LIMIT_SECONDS = 2.0
SCRIPT = """
from stock_platform.pages import {0}
from stock_platform.pages.parts import page
page({0}.show)()
"""


def measure(settings: Settings, rows: int, address: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Seconds of each page with no answer kept.

    Args:
        settings: of a running warehouse.
        rows: bars in it, for the report.
        address: parameters of the pages' address, such as `instrument`.

    Raises:
        AssertionError: a page shows an error instead.
    """
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    found = {}
    place = {
        "STOCK_PLATFORM_HOME": str(settings.home),
        "STOCK_PLATFORM_SOURCE": settings.source,
    }
    with patch.dict(os.environ, place):
        st.cache_resource.clear()
        for name in PAGES:
            seconds = []
            for _ in range(3):  # the first also imports, which the server does before it answers
                st.cache_data.clear()
                test = AppTest.from_string(SCRIPT.format(name), default_timeout=120)
                test.query_params.update(address)
                start = time.perf_counter()
                test.run()
                seconds.append(time.perf_counter() - start)
                assert not test.exception, test.exception[0].message
                assert not test.error, test.error[0].value
            found[f"page load: {name}"] = {
                "ours": max(seconds[1:]),
                "reference": LIMIT_SECONDS,
                "limit": 1.0,
                "unit": f"s on the server with no answer kept, {rows / 1e6:.1f} M bars",
            }
        st.cache_resource.clear()
    return found
