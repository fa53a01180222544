"""The walk forward over 300 instruments and 24 years, by the command a person types.

Time and memory are held against fixed limits: 90 s and 4 GB on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.support.weekly import waves

SECONDS, GIGABYTES = 90.0, 4.0
INSTRUMENTS = int(os.environ.get("BENCH_INSTRUMENTS", "300"))


def run() -> dict[str, dict[str, Any]]:
    """Wall seconds and peak resident memory of `stock-platform backtest`, features included."""
    with tempfile.TemporaryDirectory(prefix="bench-backtest-") as folder:
        prices, out = Path(folder) / "prices.parquet", Path(folder) / "forecasts.parquet"
        panel = waves(symbols=INSTRUMENTS, years=24, first_year=2000)
        panel.write_parquet(prices)
        size = f"{panel.height / 1e6:.1f} M bars"
        del panel
        command = ["backtest", "--prices", str(prices), "--from", "2004-06-01", "--to",
                   "2023-12-31", "--out", str(out)]  # fmt: skip
        begun = time.monotonic()
        process = psutil.Popen(
            [str(Path(sys.executable).with_name("stock-platform")), *command],
            stdout=subprocess.DEVNULL,
        )
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        if process.wait() != 0:
            raise RuntimeError(f"the backtest ended with {process.returncode}")
    return {
        "backtest time": {
            "ours": seconds,
            "reference": SECONDS,
            "limit": 1.0,
            "unit": f"s for {size} with refits",
        },
        "backtest memory": {
            "ours": peak / 1e9,
            "reference": GIGABYTES,
            "limit": 1.0,
            "unit": f"GB for {size}",
        },
    }
