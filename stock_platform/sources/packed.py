"""The recorded answers of past loads, read back from the lake.

What lives here reads what `Journal.pack` wrote, one request's answers at a time. What does not:
what is made of them (`replay.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from stock_platform.lake import paths
from stock_platform.lake.store import ObjectStore
from stock_platform.sources.base import SourceError
from stock_platform.sources.responses import Response

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class Packed:
    """The answers of one load, as `Journal.pack` wrote them.

    Attributes:
        location: of the object, for messages.
        known_at, first, last, universe, refetch: as packed.
        interrupted: `known_at` of the loads before this one that packed their answers and did not
            end: the lake holds what they were told in part or not at all.
        versions: of the libraries that read the answers then.
        reach: by request, in their order, how far its answer reaches back.
    """

    location: str
    source: str
    known_at: datetime
    first: date
    last: date
    universe: str
    refetch: int
    interrupted: tuple[datetime, ...]
    versions: Mapping[str, str]
    reach: Mapping[str, date]
    _data: bytes = field(repr=False)

    def of(self, request: str) -> list[Response]:
        """The answers to a request, none if it was not made; several if it took several.

        Safe to call from several threads.

        Raises:
            SourceError: they are damaged.
        """
        import pyarrow as pa

        if request not in self.reach:
            return []
        group = list(self.reach).index(request)
        try:
            rows = _file(self._data).read_row_group(group).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.location, error) from error
        return [Response(**row) for row in rows]

    @property
    def responses(self) -> list[Response]:
        """All of them, in the order of the requests."""
        return [response for request in self.reach for response in self.of(request)]


def packed_keys(store: ObjectStore, source: str, until: datetime | None = None) -> list[str]:
    """Keys of the packed loads of a source by `known_at`, which does not exceed `until`."""
    keys = sorted(key for key, _ in store.list(paths.responses_folder(source)))
    if until is None:
        return keys
    newest = paths.packed_responses(source, until)
    return [key for key in keys if key <= newest]


def read_packed(store: ObjectStore, key: str) -> Packed:
    """The answers of one load; their bodies are read when they are asked for.

    Raises:
        SourceError: the object is none that `Journal.pack` wrote.
    """
    import pyarrow as pa

    try:
        data = store.get(key)
        file = _file(data)
        about = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        return Packed(
            location=store.location(key),
            source=about["source"],
            known_at=datetime.fromisoformat(about["known_at"]),
            first=date.fromisoformat(about["first"]),
            last=date.fromisoformat(about["last"]),
            universe=about["universe"],
            refetch=int(about["refetch"]),
            interrupted=tuple(map(datetime.fromisoformat, json.loads(about["interrupted"]))),
            versions=json.loads(about["versions"]),
            reach=dict(_heads(file)),
            _data=data,
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(store.location(key), error) from error


def _heads(file: pq.ParquetFile) -> Any:
    """Request and reach of every row group; each holds the answers to one request."""
    for group in range(file.num_row_groups):
        rows = file.read_row_group(group, columns=["request", "first"]).to_pylist()
        yield rows[0]["request"], max(row["first"] for row in rows)


def _file(data: bytes) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)


def _damaged(location: str, error: Exception) -> SourceError:
    return SourceError(
        f"{location} can't be read as the responses of a load: {error}"
        " (restore it from a backup, or replay with --until an earlier moment)"
    )
