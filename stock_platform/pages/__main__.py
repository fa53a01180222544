"""`python -m stock_platform.pages --port N`: serve the app.

The libraries are imported before anybody asks, so that the first reader does not wait for them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

APP = Path(__file__).with_name("app.py")


def main() -> None:
    """Serve until the process ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--host", default="127.0.0.1")
    chosen = options.parse_args()

    import altair  # noqa: F401
    import clickhouse_connect  # noqa: F401
    import pandas as pd  # noqa: F401
    from streamlit.web import cli

    address = ["--server.port", str(chosen.port), "--server.address", chosen.host]
    cli.main(["run", str(APP), *address], prog_name="streamlit")


if __name__ == "__main__":
    main()
