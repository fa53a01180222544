"""The alert of large revisions: each is told once, however many loads and runs lie between."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from stock_platform.defs.marts.checks import no_large_revision
from stock_platform.defs.resources import PlatformResource
from stock_platform.warehouse import revisions

START = datetime(2026, 1, 1, 22, tzinfo=UTC)


class Mart:
    """What `market.fct_price_revisions` holds of large revisions, by the day they were learned."""

    def __init__(self) -> None:
        self.days: list[int] = []
        self.broken = False

    def large(self, _client: object, _limit: float) -> pl.DataFrame:
        if self.broken:
            raise RuntimeError("the warehouse is gone")
        rows = [("yahoo", f"S{day}", START + timedelta(days=day), f"id{day}") for day in self.days]
        shape = {"source": pl.String, "symbol": pl.String}
        shape |= {"known_at": pl.Datetime("us", "UTC"), "id": pl.String}
        return pl.DataFrame(rows, schema=shape, orient="row")


@pytest.fixture
def mart(monkeypatch: pytest.MonkeyPatch) -> Mart:
    mart = Mart()
    monkeypatch.setattr(revisions, "large", mart.large)
    monkeypatch.setattr(PlatformResource, "warehouse", lambda *_: nullcontext())
    return mart


@dg.asset
def fct_price_revisions() -> None:
    """Stands for the mart."""


def check(instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation | None:
    done = dg.materialize(
        [fct_price_revisions, no_large_revision],
        instance=instance,
        resources={"platform": PlatformResource()},
        raise_on_error=False,
    )
    found = done.get_asset_check_evaluations()
    return found[0] if found else None


def test_every_large_revision_is_told_once(mart: Mart) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        first = check(instance)
        assert first is not None
        assert first.passed
        mart.days = [1, 2]  # two loads before one build
        both = check(instance)
        assert both is not None
        assert not both.passed
        assert both.severity == dg.AssetCheckSeverity.WARN
        assert both.metadata["restated"].value == 2
        for symbol in ("S1", "S2"):
            assert symbol in str(both.metadata["largest"].value)
        again = check(instance)
        assert again is not None
        assert again.passed
        mart.days, mart.broken = [1, 2, 3], True
        assert check(instance) is None
        mart.days, mart.broken = [1, 2, 3, 4], False  # the retry brought news of its own
        after = check(instance)
        assert after is not None
        assert after.metadata["restated"].value == 2
        assert "S3" in str(after.metadata["largest"].value)
