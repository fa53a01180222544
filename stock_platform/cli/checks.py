"""The checks of `stock-platform doctor`: each looks at one thing and says what to do about it.

A check opens files read-only and asks servers that already run; it never starts or creates.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from stock_platform.settings import PROJECT_ROOT

State = Literal["ok", "warn", "fail"]

LOCATION_SECONDS = 120
OLDEST_PYTHON = (3, 11)

REPORTED_PACKAGES = (
    "chdb", "clickhouse-connect", "dagster", "dagster-dbt", "dbt-clickhouse", "dbt-core", "dlt",
    "duckdb", "mlflow", "polars", "pyiceberg", "scikit-learn", "yfinance",
)  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    state: State
    what: str
    mend: str = ""


def python_version() -> Check:
    """The interpreter is one the packages support."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "fail", version, "make run PYTHON=python3.12 (3.11 or newer)")
    return Check("python", "ok", version)


def pinned_versions() -> Check:
    """What is installed is what constraints.txt pins."""
    path = PROJECT_ROOT / "constraints.txt"
    if not path.exists():
        return Check("packages", "warn", f"no {path} to compare with", "run from a full checkout")
    pins = dict(
        line.split("==") for line in path.read_text().split("\n") if "==" in line and line[0] != "#"
    )
    other = []
    for name, pin in pins.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            if name in REPORTED_PACKAGES:
                other.append(f"{name} is missing")
            continue
        if installed != pin:
            other.append(f"{name} {installed} instead of {pin}")
    if other:
        state: State = "fail" if any("missing" in o for o in other) else "warn"
        return Check("packages", state, ", ".join(other), "rm .venv/.runtime && make run")
    return Check("packages", "ok", "as pinned in constraints.txt")


def browser() -> Check:
    """Chromium for `make test-browser`."""
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        what = "chromium is missing (only make test-browser needs it)"
        return Check("browser", "warn", what, "make browser-deps")
    return Check("browser", "ok", "chromium")


def code_location() -> Check:
    """The asset graph loads in an interpreter of its own."""
    code = (
        "from stock_platform.definitions import defs; "
        "print(len(list(defs.resolve_asset_graph().get_all_asset_keys())))"
    )
    try:
        loaded = subprocess.run(
            [sys.executable, "-c", code],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=LOCATION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("code location", "fail", f"not loaded after {LOCATION_SECONDS} s", "try again")
    if loaded.returncode:
        last = (loaded.stderr.strip().splitlines() or ["no message"])[-1]
        return Check(
            "code location", "fail", last, "python -m stock_platform.definitions says more"
        )
    return Check("code location", "ok", f"{loaded.stdout.strip().splitlines()[-1]} assets")


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide behaviour; `missing` where not installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("stock-platform", *REPORTED_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found
