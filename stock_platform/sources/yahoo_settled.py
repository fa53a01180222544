"""Which instruments have been asked about as far back as the lake goes, remembered between loads.

An evening looks at the newest days alone; this says for whom that is enough. It is a note of what
the lake holds anyway: without it the next load reads the lake's whole history, once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

_log = logging.getLogger(__name__)


class Settled:
    """By instrument_id, under which expectations its whole history was last accounted for.

    Args:
        path: a JSON file, made when there is something to note; None: noted for this process only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._noted: dict[str, str] | None = None

    def has(self, instrument_id: str, expectation: str) -> bool:
        """Whether nothing of an instrument is left to ask, if this is what is expected of it."""
        return self._read().get(instrument_id) == expectation

    def note(self, found: Mapping[str, str]) -> None:
        """Add instruments with what was expected of them."""
        noted = self._read()
        if found.items() <= noted.items():
            return
        noted.update(found)
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_suffix(".tmp")
            scratch.write_text(json.dumps(noted, indent=1, sort_keys=True))
            scratch.replace(self._path)

    def _read(self) -> dict[str, str]:
        if self._noted is None:
            self._noted = {}
            try:
                if self._path is not None:
                    self._noted = dict(json.loads(self._path.read_text()))
            except FileNotFoundError:
                pass
            except (ValueError, TypeError) as error:
                _log.warning("%s is damaged, so all history is looked at: %s", self._path, error)
        return self._noted
