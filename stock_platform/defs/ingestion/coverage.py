"""`session_coverage`: has every expected session a final bar or a reason, and who is to blame?

Wiring only: the judgement is in `stock_platform/lake/coverage.py`.
"""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from stock_platform.defs.ingestion.raw import SOURCES, lake_tables
from stock_platform.defs.pictures import picture, table
from stock_platform.defs.resources import PlatformResource
from stock_platform.lake import coverage
from stock_platform.sources import companions

if TYPE_CHECKING:
    from stock_platform.sources.base import Source

_KEY = dg.AssetKey("session_coverage")
_EXPLAINED = "every_session_is_explained"
_CALENDARS = "calendars_agree_with_the_market"
_EXAMPLES = 20


def _states(platform: PlatformResource, source: "Source") -> pl.DataFrame:
    from stock_platform.sources import base

    expected = base.expected(source.instruments(), *source.span())
    return coverage.states(
        platform.lake(), platform.settings, source.name, expected, live=source.live
    )


def _outage_check(
    found: pl.DataFrame, limit: float, check_name: str | None = None
) -> dg.AssetCheckResult:
    worst = coverage.outage(found)
    return dg.AssetCheckResult(
        check_name=check_name,
        passed=worst.share <= limit,
        description=(
            f"{worst.share:.1%} of the expected bars of {worst.where} are missing because the "
            f"provider gave no usable answer (limit {limit:.1%}, STOCK_PLATFORM_MAX_OUTAGE_SHARE). "
            f"What arrived is kept; load the same days again when the provider answers. "
            f"For example {worst.examples[0]}"
            if worst.share
            else "The provider answered for every expected bar."
        ),
        metadata={"share": worst.share, "where": worst.where, "examples": worst.examples},
    )


def _no_outage(name: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey(["raw", name]),
        name="no_outage",
        blocking=True,
        description="An outage of the provider turns the load red and blocks what is downstream.",
    )
    def check(platform: PlatformResource) -> dg.AssetCheckResult:
        found = _states(platform, platform.source(name))
        return _outage_check(found, platform.settings.max_outage_share)

    return check


@dg.asset(
    key=_KEY,
    deps=lake_tables,
    group_name="lake",
    kinds={"duckdb"},
    owners=["team:data-platform"],
    description="What became of every session that each instrument of the active source was "
    "expected to have: a final bar, or the reason it has none. The picture shows the gaps.",
    check_specs=[
        dg.AssetCheckSpec(
            _EXPLAINED,
            asset=_KEY,
            blocking=True,
            description="Every expected session that was loaded has a final bar or a reason.",
        ),
        dg.AssetCheckSpec(
            "no_outage",
            asset=_KEY,
            blocking=True,
            description="Not too many bars are missing because a provider was down.",
        ),
        dg.AssetCheckSpec(
            _CALENDARS,
            asset=_KEY,
            description="The calendar's sessions are those on which most instruments traded.",
        ),
    ],
)
def session_coverage(platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Judge the active source and those that are loaded beside it."""
    from stock_platform.calendars_check import disagreements
    from stock_platform.lake.coverage_plot import heat_map

    names = [platform.settings.source, *companions(platform.settings)]
    sources = [platform.source(name) for name in names]
    found = pl.concat(
        [_states(platform, one).with_columns(source=pl.lit(one.name)) for one in sources]
    )
    summary = coverage.summary(found)
    unexplained = found.filter(pl.col("state") == coverage.UNEXPLAINED)
    instruments = [one for source in sources for one in source.instruments()]
    lake = platform.lake()
    disputed = disagreements(
        instruments,
        pl.concat([coverage.seen(lake, platform.settings, name) for name in names]),
        found.filter(~pl.col("is_outage") & (pl.col("state") != "not_yet_final")),
    )
    absent = (
        found.filter(~pl.col("state").is_in([coverage.FINAL, "not_yet_final"]))
        .sort("session", descending=True)
        .select("symbol", "session", "state", "detail")
        .head(_EXAMPLES)
    )
    due = found.filter(pl.col("state") != "not_yet_final")
    metadata: dict[str, dg.MetadataValue | int | float] = {
        "dagster/row_count": found.height,
        "share_final_of_due": float((due["state"] == coverage.FINAL).mean() or 0.0),  # type: ignore[arg-type]
        "states": table(summary),
        "newest_absent": table(absent),
    }
    if found.height:
        metadata["heat_map"] = picture(heat_map(found), "Coverage by instrument and month")
    return dg.MaterializeResult(
        metadata=metadata,
        check_results=[
            dg.AssetCheckResult(
                check_name=_EXPLAINED,
                passed=unexplained.is_empty(),
                description=f"{unexplained.height} expected sessions have neither a final bar nor "
                "a reason: load their days again",
                metadata={"examples": table(unexplained.select("symbol", "session").head(20))},
            ),
            # What is loaded beside the active source has its own red light (raw/<source>).
            _outage_check(
                found.filter(pl.col("source") == names[0]),
                platform.settings.max_outage_share,
                check_name="no_outage",
            ),
            dg.AssetCheckResult(
                check_name=_CALENDARS,
                passed=disputed.is_empty(),
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{disputed.height} days on which most instruments of an exchange did "
                "something else than its calendar says",
                metadata={"days": table(disputed.tail(_EXAMPLES))},
            ),
        ],
    )


outage_checks = [_no_outage(name) for name in SOURCES]
