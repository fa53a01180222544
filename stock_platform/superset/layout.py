"""Where charts and texts stand on a dashboard: Superset's tree of components from rows of cells."""

from __future__ import annotations

from typing import Any

from stock_platform.superset.assets import Dashboard
from stock_platform.superset.bundle import Bundle

UNIT_PIXELS = 8


def position(bundle: Bundle, dashboard: Dashboard) -> dict[str, Any]:
    """The tree: ROOT, GRID, rows, cells. Charts carry their number on the page and their uuid."""
    rows: dict[str, Any] = {}
    numbers = {name: at for at, name in enumerate(dashboard.charts(), start=1)}
    for at, row in enumerate(dashboard.rows):
        row_id = f"ROW-{at}"
        cells = []
        for place, cell in enumerate(row.cells):
            meta: dict[str, Any] = {"width": cell.width, "height": row.height}
            if cell.chart:
                kind, meta = (
                    "CHART",
                    meta
                    | {
                        "chartId": numbers[cell.chart],
                        "uuid": str(bundle.charts[cell.chart].uuid),
                        "sliceName": bundle.charts[cell.chart].slice_name,
                    },
                )
            else:
                kind, meta = "MARKDOWN", meta | {"code": cell.markdown}
            cell_id = f"{kind}-{at}-{place}"
            cells.append(cell_id)
            rows[cell_id] = {
                "type": kind,
                "id": cell_id,
                "children": [],
                "parents": ["ROOT_ID", "GRID_ID", row_id],
                "meta": meta,
            }
        rows[row_id] = {
            "type": "ROW",
            "id": row_id,
            "children": cells,
            "parents": ["ROOT_ID", "GRID_ID"],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        }
    row_ids = [f"ROW-{at}" for at in range(len(dashboard.rows))]
    return {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {
            "type": "GRID",
            "id": "GRID_ID",
            "children": row_ids,
            "parents": ["ROOT_ID"],
        },
        "HEADER_ID": {
            "type": "HEADER",
            "id": "HEADER_ID",
            "meta": {"text": dashboard.dashboard_title},
        },
        **rows,
    }
