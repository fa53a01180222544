"""How long the code location takes to load, against a bare `import dagster`."""

import statistics
import subprocess
import sys
import time

from stock_platform.settings import PROJECT_ROOT

ROUNDS = 5
LIMIT = 2.5


def run() -> dict[str, dict[str, float | str]]:
    """Median wall seconds of fresh interpreters, the two taken in turn."""
    bare, ours = [], []
    _import("stock_platform.definitions")  # the first import compiles and may parse dbt
    for _ in range(ROUNDS):
        bare.append(_import("dagster"))
        ours.append(_import("stock_platform.definitions"))
    return {
        "load_code_location": {
            "ours": statistics.median(ours),
            "reference": statistics.median(bare),
            "limit": LIMIT,
            "unit": "s",
        }
    }


def _import(module: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=PROJECT_ROOT, check=True)
    return time.perf_counter() - begun
