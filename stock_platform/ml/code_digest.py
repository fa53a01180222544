"""Identity of the code that makes a forecast: part of every forecast_id.

Only files that can change a number are in it; training schedules and the gate are not, they only
choose among models, and a model has its own digest.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stock_platform.ml.serialise import digest_of

HERE = Path(__file__).resolve().parent
FILES = [
    "features.py",
    "history.py",
    "wide.py",
    "pools.py",
    "weeks.py",
    "quantiles.py",
    "calibration.py",
    "issue.py",
    "weekly/bars.py",
    "weekly/events.py",
    "weekly/features.py",
    "weekly/market.py",
    "weekly/peers.py",
    "weekly/scale.py",
    "weekly/volatility.py",
    "weekly/windows.py",
]


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 of the forecasting code, its constants included (they are its configuration)."""
    paths = [HERE / name for name in FILES] + sorted((HERE / "candidates").glob("*.py"))
    parts: list[str] = []
    for path in paths:
        text = path.read_text(encoding="utf-8").replace("\r\n", "\n")
        parts += [path.relative_to(HERE).as_posix(), text]
    return digest_of(*parts)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Package version, with the commit when it runs from a checkout (`+` marks local changes)."""
    try:
        package = version("stock-platform")
    except PackageNotFoundError:
        package = "0"
    described = subprocess.run(
        ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    commit = described.stdout.strip() if described.returncode == 0 else ""
    return f"{package}-{commit}" if commit else package
