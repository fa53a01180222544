"""What each dashboard is made of, read quickly and without judging, to draw the asset graph.

A file that is wrong is left out here, so that it does not take the whole code location with it; the
assets themselves fail on it, by `bundle.load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stock_platform.marked_yaml import load_plain
from stock_platform.superset.bundle import ASSETS


def dashboards(folder: Path = ASSETS) -> dict[str, list[str]]:
    """Name of a dashboard -> names of its datasets, which are those of dbt models."""
    datasets = {
        path.stem: str(_content(path).get("dataset", ""))
        for path in (folder / "charts").rglob("*.yaml")
    }
    return {
        path.stem: sorted(
            {
                datasets[chart]
                for row in _content(path).get("rows", [])
                for cell in row.get("cells", [])
                if (chart := cell.get("chart")) in datasets
            }
        )
        for path in sorted((folder / "dashboards").glob("*.yaml"))
    }


def _content(path: Path) -> dict[str, Any]:
    try:
        found = load_plain(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
