"""Native filters of a dashboard: what they choose from and which charts they reach."""

from __future__ import annotations

from typing import Any
from uuid import uuid5

from stock_platform.superset.assets import Dashboard, Filter
from stock_platform.superset.bundle import Bundle


def scope(bundle: Bundle, dashboard: Dashboard, one: Filter) -> list[str]:
    """Charts of the dashboard that a filter reaches: those whose dataset has its column."""
    reached = []
    for name in dashboard.charts():
        dataset = bundle.datasets[bundle.charts[name].dataset]
        has = dataset.time_column if one.type == "date" else one.column in dataset.columns
        if has and name not in one.excluded:
            reached.append(name)
    return reached


def native_filter(bundle: Bundle, dashboard: Dashboard, one: Filter) -> dict[str, Any]:
    """The filter as Superset has it in a dashboard's metadata."""
    reached = scope(bundle, dashboard, one)
    excluded = [n + 1 for n, name in enumerate(dashboard.charts()) if name not in reached]
    common: dict[str, Any] = {
        "id": f"NATIVE_FILTER-{uuid5(dashboard.uuid, one.name)}",
        "name": one.name,
        "description": one.description,
        "type": "NATIVE_FILTER",
        "cascadeParentIds": [],
        # Numbers of charts, in their order on the page; the import puts Superset's own in.
        "scope": {"rootPath": ["ROOT_ID"], "excluded": excluded},
        "defaultDataMask": {"extraFormData": {}, "filterState": {}, "ownState": {}},
    }
    if one.type == "date":
        return common | {"filterType": "filter_time", "targets": [{}], "controlValues": {}}
    assert one.dataset is not None
    assert one.column is not None
    if one.default:
        chosen = {"col": one.column, "op": "IN", "val": one.default}
        common["defaultDataMask"] = {
            "extraFormData": {"filters": [chosen]},
            "filterState": {"value": one.default, "label": ", ".join(one.default)},
            "ownState": {},
        }
    return common | {
        "filterType": "filter_select",
        "targets": [
            {
                "column": {"name": one.column},
                "datasetUuid": str(bundle.datasets[one.dataset].uuid),
            }
        ],
        "controlValues": {
            "multiSelect": one.multiple,
            "enableEmptyFilter": one.required or bool(one.default),
            "defaultToFirstItem": one.default_to_first,
            "inverseSelection": False,
            "searchAllOptions": False,
            "sortAscending": True,
        },
        "adhoc_filters": [],
    }
