"""Sources: where bars and corporate actions come from. Each module is a source, runnable alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stock_platform.settings import Settings
    from stock_platform.sources.base import Source

NAMES = ("sample", "files", "simulated")


def get_source(settings: Settings) -> Source:
    """The source that `STOCK_PLATFORM_SOURCE` names.

    Raises:
        PlatformError: its settings or its files are unusable.
    """
    if settings.source == "sample":
        from stock_platform.sources.sample import SampleSource

        return SampleSource(universe=settings.universe)
    if settings.source == "files":
        from stock_platform.sources.files import FilesSource

        return FilesSource.from_settings(settings)
    from stock_platform.sources.simulated import SimulatedSource

    return SimulatedSource.from_settings(settings)
