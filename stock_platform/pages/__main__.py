"""`python -m stock_platform.pages --port N`: serve the app.

The libraries are imported before anybody asks, so that the first reader does not wait for them.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from stock_platform.errors import PlatformError

APP = Path(__file__).with_name("app.py")


def main() -> None:
    """Serve until the process ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--host", default="127.0.0.1")
    chosen = options.parse_args()

    from streamlit.web import cli

    _warm_up()

    address = ["--server.port", str(chosen.port), "--server.address", chosen.host]
    cli.main(["run", str(APP), *address], prog_name="streamlit")


def _warm_up() -> None:
    import altair as alt
    import clickhouse_connect  # noqa: F401
    import pandas as pd

    from stock_platform.pages import accuracy, instrument, market, model  # noqa: F401

    with suppress(PlatformError):  # told on the page
        instrument.is_live()
    # The first chart of a process loads Vega-Lite's schema, the first frame pyarrow's types.
    alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="x:Q").to_dict()


if __name__ == "__main__":
    main()
