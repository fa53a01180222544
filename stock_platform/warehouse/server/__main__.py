"""`python -m stock_platform.warehouse.server`: one server on one directory, in the foreground."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stock_platform.errors import PlatformError
from stock_platform.warehouse.server.limits import Limits
from stock_platform.warehouse.server.serve import STOP_SECONDS, serve


def main() -> int:
    """Serve until a signal stops it; 1 with a message when it can't start."""
    parser = argparse.ArgumentParser(prog="stock_platform.warehouse.server")
    parser.add_argument("--directory", type=Path, required=True, help="data, passwords and state")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18123, help="0 picks a free one")
    parser.add_argument("--on-demand", action="store_true", help="its last user may stop it")
    parser.add_argument("--query-memory", type=_bytes, default=Limits.administrator)
    parser.add_argument("--reader-query-memory", type=_bytes, default=Limits.reader)
    parser.add_argument("--reader-query-seconds", type=int, default=Limits.reader_seconds)
    parser.add_argument("--stop-seconds", type=int, default=STOP_SECONDS)
    arguments = parser.parse_args()
    limits = Limits(
        arguments.query_memory, arguments.reader_query_memory, arguments.reader_query_seconds
    )
    try:
        serve(
            arguments.directory,
            arguments.host,
            arguments.port,
            on_demand=arguments.on_demand,
            limits=limits,
            stop_seconds=arguments.stop_seconds,
        )
    except PlatformError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _bytes(text: str) -> int:
    """`512M`, `4G` or a plain number of bytes."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    unit = units.get(text[-1:].upper(), 1)
    return int(text[:-1] if unit > 1 else text) * unit


if __name__ == "__main__":
    sys.exit(main())
