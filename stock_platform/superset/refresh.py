"""After the marts changed: assets applied, what was cached of them dropped, every chart asked once.

A Superset that nobody set up here is no fault and is said; one that should answer and doesn't is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stock_platform.errors import PlatformError
from stock_platform.superset import service
from stock_platform.superset.bundle import Bundle, load
from stock_platform.superset.client import Answer, SupersetClient
from stock_platform.superset.compile import files

if TYPE_CHECKING:
    from stock_platform.settings import Settings

NOT_SET_UP = "Superset is not set up here (make superset); the assets are checked, nothing is shown"
NOT_SERVED = "applied; Superset is not served now (make up), so there is no cache to renew"
REFRESHED = "applied and served; every chart was asked once and is cached"


@dataclass(frozen=True)
class Refreshed:
    """What was done.

    Attributes:
        state: in a sentence.
        counts: kind -> objects of ours in Superset; empty when there is none.
        answers: chart -> what it said; empty when Superset is not served.
    """

    bundle: Bundle
    state: str
    counts: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


def is_set_up(settings: Settings) -> bool:
    """Whether this home has a Superset of its own, or names another's address."""
    return bool(settings.superset_url) or (
        service.is_installed() and service.database(settings).exists()
    )


def refresh(settings: Settings) -> Refreshed:
    """Check, apply what changed, renew the cache. The warehouse must run.

    Raises:
        PlatformError: the assets are wrong, Superset refuses them, should answer and doesn't, or a
            chart gives an error.
    """
    bundle = load()
    if not is_set_up(settings):
        return Refreshed(bundle, NOT_SET_UP)
    if settings.superset_url:
        password = settings.superset_password.get_secret_value()
    else:
        applied = service.apply(settings, files(bundle))
        if not service.is_served(settings):
            return Refreshed(bundle, NOT_SERVED, applied.counts)
        password = service.credentials(settings)["admin"]
    client = SupersetClient(service.address(settings), service.ADMINISTRATOR, password)
    datasets, charts = client.datasets(), client.charts()
    missing = [name for name, chart in bundle.charts.items() if str(chart.uuid) not in charts]
    if missing:
        raise PlatformError(
            f"Superset at {client.url} lacks {', '.join(missing)}: its image is older than these "
            "assets; build and start it again"
        )
    client.forget([datasets[str(one.uuid)] for one in bundle.datasets.values()])
    answers = {name: client.ask(charts[str(one.uuid)]) for name, one in bundle.charts.items()}
    failed = [f"{name}: {answer.error}" for name, answer in answers.items() if answer.error]
    if failed:
        raise PlatformError("charts give errors:\n  " + "\n  ".join(failed))
    counts = {
        "databases": len(bundle.databases),
        "datasets": len(bundle.datasets),
        "charts": len(bundle.charts),
        "dashboards": len(bundle.dashboards),
    }
    return Refreshed(bundle, REFRESHED, counts, answers)
