"""The one place that knows where an object lies: raw/<source>/<dataset>/yyyy/mm/dd/<file>.

Keys are relative to the lake's root; turning them into files or S3 objects is `store.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

from stock_platform.errors import PlatformError

RAW = "raw"
RESPONSES = "responses"
"""What providers answered, by the day of the load: responses/<source>/yyyy/mm/dd/<moment>.parquet.
Beside `raw`, not in it: nothing of the catalog or of dbt looks here. A log of fetches: a load that
sent a request, or told a reason, adds one object, also when it learned nothing."""
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_KEY = re.compile(
    r"(?:.*/)?raw/(?P<source>[a-z0-9_]+)/(?P<dataset>[a-z0-9_]+)"
    r"/(?P<y>\d{4})/(?P<m>\d\d)/(?P<d>\d\d)/(?:data|rev-\d{8}T\d{12}Z)\.parquet\Z"
)


@dataclass(frozen=True)
class ObjectKey:
    """What the place of an object says about its rows."""

    source: str
    dataset: str
    session: date


def folder(source: str, dataset: str, session: date | None = None) -> str:
    """Folder of one session, or of all sessions of a dataset, with a trailing slash."""
    for name in (source, dataset):
        _check(name)
    base = f"{RAW}/{source}/{dataset}/"
    return base if session is None else f"{base}{session:%Y/%m/%d}/"


def first_object(source: str, dataset: str, session: date) -> str:
    """Key of the first object of a session."""
    return folder(source, dataset, session) + "data.parquet"


def revision_object(source: str, dataset: str, session: date, known_at: datetime) -> str:
    """Key of the object with what `known_at` (aware) changed about a session."""
    return f"{folder(source, dataset, session)}rev-{_stamp(known_at)}.parquet"


def responses_folder(source: str) -> str:
    """Folder of everything that the providers of a source answered, with a trailing slash."""
    _check(source)
    return f"{RESPONSES}/{source}/"


def packed_responses(source: str, known_at: datetime) -> str:
    """Key of the answers that the load of `known_at` (aware) was made from."""
    day = known_at.astimezone(UTC).strftime("%Y/%m/%d")
    return f"{responses_folder(source)}{day}/{_stamp(known_at)}.parquet"


def parse(path: str) -> ObjectKey | None:
    """Source, dataset and session of a key, path or URL; None when it is not an object of ours."""
    match = _KEY.match(path)
    if match is None:
        return None
    try:
        session = date(int(match["y"]), int(match["m"]), int(match["d"]))
    except ValueError:
        return None
    return ObjectKey(match["source"], match["dataset"], session)


def _check(name: str) -> None:
    if not _NAME.match(name):
        raise PlatformError(
            f"{name!r} can't be a folder of the lake: use lower-case letters, digits and _"
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
