"""A service of `stock-platform up`: apply the assets, then become Superset's web server."""

import sys
import time

from stock_platform.errors import PlatformError
from stock_platform.settings import Settings, load_settings

WAIT_SECONDS = 60


def main() -> None:
    """Wait for the warehouse, which starts beside this, then apply and serve."""
    from stock_platform.superset import service
    from stock_platform.superset.bundle import load
    from stock_platform.superset.compile import files

    settings = load_settings()
    try:
        compiled = files(load())
        _wait_for_warehouse(settings)
        done = service.apply(settings, compiled)
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(done.counts.items()))
        print(f"Superset holds {counts}", flush=True)  # noqa: T201
        service.serve_forever(settings)
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None


def _wait_for_warehouse(settings: Settings) -> None:
    from stock_platform.warehouse.client import connect

    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connect(settings).close()
        except PlatformError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return


if __name__ == "__main__":
    main()
