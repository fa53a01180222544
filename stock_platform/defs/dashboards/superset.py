"""`superset/*`: datasets and dashboards, downstream of the marts they show.

Wiring only: what a refresh does is `stock_platform/superset/refresh.py`.
"""

from collections.abc import Iterator

import dagster as dg

from stock_platform.defs.resources import PlatformResource
from stock_platform.superset import service
from stock_platform.superset.lineage import dashboards

GROUP = "dashboards"
_DASHBOARDS = dashboards()
_DATASETS = sorted({name for names in _DASHBOARDS.values() for name in names})


def _key(kind: str, name: str) -> dg.AssetKey:
    return dg.AssetKey(["superset", kind, name])


def _spec(key: dg.AssetKey, deps: list[dg.AssetKey], description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        group_name=GROUP,
        kinds={"superset"},
        owners=["team:data-platform"],
        description=description,
    )


@dg.multi_asset(
    specs=[
        *(
            _spec(_key("dataset", name), [dg.AssetKey(name)], f"The mart {name} for charts.")
            for name in _DATASETS
        ),
        *(
            _spec(
                _key("dashboard", name),
                [_key("dataset", one) for one in names],
                f"The page docker/superset/assets/dashboards/{name}.yaml with its charts. Checked "
                "against the dbt models, applied when it changed, its charts asked once.",
            )
            for name, names in _DASHBOARDS.items()
        ),
    ],
    pool="superset",
)
def superset_dashboards(
    context: dg.AssetExecutionContext, platform: PlatformResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Refresh all of them: an import is one transaction."""
    from stock_platform.superset.refresh import refresh

    with platform.warehouse(context.run_id):
        done = refresh(platform.settings)
    context.log.info(done.state)
    for name in _DATASETS:
        yield dg.MaterializeResult(asset_key=_key("dataset", name), metadata={"state": done.state})
    for name in _DASHBOARDS:
        page = done.bundle.dashboards[name]
        answers = [done.answers[chart] for chart in page.charts() if chart in done.answers]
        metadata: dict[str, dg.MetadataValue | str | int | float] = {
            "state": done.state,
            "charts": len(page.charts()),
        }
        if done.counts:
            metadata["page"] = dg.MetadataValue.url(service.page(platform.settings, page.slug))
        if answers:
            empty = [chart for chart in page.charts() if not done.answers[chart].rows]
            metadata["slowest_chart_seconds"] = max(answer.seconds for answer in answers)
            metadata["charts_without_rows"] = ", ".join(empty) or "none"
        yield dg.MaterializeResult(asset_key=_key("dashboard", name), metadata=metadata)
