"""Sources: where prices come from. A module here with a `from_settings` is a source of its name.

Adding one takes that file and its test: docs/adding-a-source.md.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from stock_platform.settings import Settings
    from stock_platform.sources.base import Source

_COMPANIONS = {"yahoo": ("cbr",)}
"""What is loaded beside an active source: official metal prices and exchange rates."""

_ENTRY = re.compile(r"^(def from_settings\(|from_settings = )", re.MULTILINE)


@cache
def names() -> tuple[str, ...]:
    """Every source, in alphabetical order; found by reading, so that none has to be imported."""
    modules = [path for folder in __path__ for path in Path(folder).glob("*.py")]
    return tuple(sorted(path.stem for path in modules if _ENTRY.search(path.read_text())))


def active_names() -> tuple[str, ...]:
    """Those that `STOCK_PLATFORM_SOURCE` may name: sources of prices to forecast."""
    beside = {name for companions in _COMPANIONS.values() for name in companions}
    return tuple(name for name in names() if name not in beside)


def companions(settings: Settings) -> tuple[str, ...]:
    """Names of the sources that are loaded beside the active one."""
    return _COMPANIONS.get(settings.source, ())


def get_source(settings: Settings, name: str | None = None) -> Source:
    """The source of that name, or the one that `STOCK_PLATFORM_SOURCE` names.

    Raises:
        PlatformError: there is none, or its settings or files are unusable.
    """
    name = name or settings.source
    if name not in names():
        raise PlatformError(f"there is no source {name!r}: use one of {', '.join(names())}")
    source: Source = import_module(f"{__name__}.{name}").from_settings(settings)
    return source
