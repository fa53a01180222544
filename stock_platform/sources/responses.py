"""What came over the wire, kept as it came.

What lives here: the journal of a load in progress, which a killed load resumes from, and the
writing of the object that keeps a load's answers for good. What does not: reading that
(`packed.py`), and what a body means.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stock_platform.lake import paths
from stock_platform.lake.store import ObjectStore
from stock_platform.sources.base import SourceError
from stock_platform.sources.fetching import KINDS, FetchError

if TYPE_CHECKING:
    import pyarrow as pa

KEPT_FOR = timedelta(hours=6)
"""A load resumes from answers no older than this: an older one may lack a session since closed."""
LIBRARIES = (
    "stock-platform",
    "yfinance",
    "curl_cffi",
    "requests",
    "exchange_calendars",
    "holidays",
)
"""Whose versions a packed object names: they decide what is made of a body."""

_PACKED = "%Y%m%dT%H%M%S%f.packed"
"""Name of the note in a journal that the load of this moment (UTC) has packed its answers."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Response:
    """One answer, or the news that none came.

    Attributes:
        request: the key: a symbol, or endpoint and parameters.
        first: the answer reaches back to this session, as asked.
        url: what was asked, without secrets.
        status: HTTP status; 0 when no answer came, `body` then says why (see `unanswered`).
        fetched_at: our clock when the answer was complete, UTC.
        server_date: the provider's clock, from the Date header.
        body: the bytes after transfer decoding, otherwise untouched.
    """

    request: str
    first: date
    url: str
    status: int
    fetched_at: datetime
    body: bytes
    server_date: datetime | None = None


def unanswered(request: str, first: date, error: FetchError) -> Response:
    """The record that a request brought no answer, for the journal."""
    body = f"{error.kind}: {error}".encode()
    return Response(request, first, "", 0, datetime.now(UTC), body)


def no_answer(response: Response) -> FetchError | None:
    """The failure that `unanswered` recorded, None when an answer came."""
    if response.status:
        return None
    kind, _, message = response.body.decode("utf-8", "replace").partition(": ")
    if kind not in KINDS:
        raise SourceError(f"the recorded response for {response.request} has no status and no kind")
    return FetchError(kind, message)


class Journal:
    """Answers of the load in progress, a file for each request.

    Args:
        folder: of one source, `HOME/responses/<source>`; made when the first answer comes.
        asked_of: whose answers they are, as the settings name it; those of another provider or
            mirror are not resumed from.
    """

    def __init__(self, folder: Path, asked_of: str = "") -> None:
        self.folder = folder
        self._asked_of = asked_of

    def keep(self, request: str, responses: Sequence[Response]) -> None:
        """Record the answers to a request, in place of earlier ones; whole or not at all."""
        import zstandard

        heads = [_head(response) for response in responses]
        about = {"request": request, "asked_of": self._asked_of, "responses": heads}
        head = json.dumps(about).encode() + b"\n"
        data = head + b"".join(response.body for response in responses)
        path = self._path(request)
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{threading.get_ident()}.tmp")
        scratch.write_bytes(zstandard.ZstdCompressor().compress(data))
        scratch.replace(path)

    def kept(self, request: str, reaching_from: date, now: datetime) -> list[Response] | None:
        """What an interrupted load was told by `asked_of` no longer than `KEPT_FOR` ago.

        Args:
            request: as in `keep`.
            reaching_from: the answers have to reach back so far.
            now: the moment of this load.
        """
        asked_of, responses = self._read(request)
        if not responses or asked_of != self._asked_of:
            return None
        usable = all(
            response.first <= reaching_from
            and timedelta(0) <= now - response.fetched_at <= KEPT_FOR
            for response in responses
        )
        return responses if usable else None

    def read(self, request: str) -> list[Response]:
        """The answers to a request, of whatever age; none when there are none."""
        return self._read(request)[1]

    def _read(self, request: str) -> tuple[str, list[Response]]:
        import zstandard

        path = self._path(request)
        try:
            data = zstandard.ZstdDecompressor().decompress(path.read_bytes())
            first_line, _, bodies = data.partition(b"\n")
            head = json.loads(first_line)
            return head["asked_of"], list(_split(head["responses"], bodies))
        except FileNotFoundError:
            return "", []
        except (zstandard.ZstdError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s is damaged and asked for again: %s", path, error)
            return "", []

    def pack(
        self,
        store: ObjectStore,
        source: str,
        requests: Iterable[str],
        *,
        known_at: datetime,
        first: date,
        last: date,
        universe: str,
        refetch: int,
    ) -> str:
        """Put the answers of a finished load into the lake, for `stock-platform replay`.

        Args:
            store: the lake's.
            source: its name.
            requests: those of this load; the journal may hold others of an interrupted one.
            known_at: of the load.
            first: the first session it was for.
            last: the last one.
            universe: the universe file's text as it was.
            refetch: how many of the newest sessions were asked for whether known or not.

        Returns:
            The object's key; one that is there already is left as it is.

        Raises:
            SourceError: an answer is not in the journal. StoreError: the lake can't be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        about = {
            "source": source,
            "known_at": known_at.astimezone(UTC).isoformat(),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "universe": universe,
            "refetch": str(refetch),
            "interrupted": json.dumps([moment.isoformat() for moment in self.interrupted()]),
            "versions": json.dumps(_versions()),
        }
        schema = _packed_schema().with_metadata(about)
        sink = pa.BufferOutputStream()
        # Statistics would repeat every body, twice and uncompressed.
        with pq.ParquetWriter(
            sink,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer:
            # A row group for each request: neither side ever holds all bodies at once.
            for request in requests:
                responses = self.read(request)
                if not responses:
                    raise SourceError(
                        f"the answer for {request} is gone from {self.folder}: load again, and "
                        "leave that folder alone meanwhile"
                    )
                rows = [vars(response) for response in responses]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
        key = paths.packed_responses(source, known_at)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{known_at.astimezone(UTC):{_PACKED}}").touch()
        store.put_new([(key, sink.getvalue().to_pybytes())])
        return key

    def interrupted(self) -> list[datetime]:
        """`known_at` of loads that packed their answers and did not end since `clear`, in order.

        What they were told is in the lake in part or not at all: a replay has to know that.
        """
        notes = self.folder.glob("*.packed")
        return sorted(datetime.strptime(path.name, _PACKED).replace(tzinfo=UTC) for path in notes)

    def clear(self) -> None:
        """Forget everything: the lake holds what was made of it."""
        self.forget()
        for path in self.folder.glob("*.packed"):
            path.unlink(missing_ok=True)

    def forget(self) -> None:
        """Forget the answers, so that the next load asks for them again."""
        if self.folder.exists():
            for path in self.folder.iterdir():
                if path.suffix in (".zst", ".tmp"):
                    path.unlink(missing_ok=True)

    def _path(self, request: str) -> Path:
        # A digest, for a symbol or a query is not always a file name; the request is inside.
        return self.folder / (hashlib.sha256(request.encode()).hexdigest()[:32] + ".zst")


def _packed_schema() -> pa.Schema:
    import pyarrow as pa

    moment = pa.timestamp("us", "UTC")
    return pa.schema(
        {
            "request": pa.string(),
            "first": pa.date32(),
            "url": pa.string(),
            "status": pa.int32(),
            "fetched_at": moment,
            "server_date": moment,
            "body": pa.binary(),
        }
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def _head(response: Response) -> dict[str, Any]:
    return {
        "request": response.request,
        "first": response.first.isoformat(),
        "url": response.url,
        "status": response.status,
        "fetched_at": response.fetched_at.isoformat(),
        "server_date": response.server_date and response.server_date.isoformat(),
        "bytes": len(response.body),
    }


def _split(heads: Sequence[Mapping[str, Any]], bodies: bytes) -> Iterator[Response]:
    start = 0
    for head in heads:
        end = start + head["bytes"]
        if end > len(bodies):
            raise ValueError("a body is cut short")
        yield Response(
            request=head["request"],
            first=date.fromisoformat(head["first"]),
            url=head["url"],
            status=head["status"],
            fetched_at=datetime.fromisoformat(head["fetched_at"]),
            body=bodies[start:end],
            server_date=_moment(head["server_date"]),
        )
        start = end


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
