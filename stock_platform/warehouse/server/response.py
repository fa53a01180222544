"""Headers and bodies of answers: summary, content types, the exception block inside a stream."""

from __future__ import annotations

import json

from stock_platform.warehouse.server.errors import ServerError
from stock_platform.warehouse.server.execution import Outcome

_TYPES = {
    "tabseparated": "text/tab-separated-values; charset=UTF-8",
    "tsv": "text/tab-separated-values; charset=UTF-8",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "json": "application/json; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
}
_BINARY = ("native", "rowbinary", "arrow", "parquet", "orc", "avro", "msgpack", "protobuf", "npy")


def content_type(fmt: str) -> str:
    """The media type ClickHouse gives a format's output."""
    low = fmt.lower()
    if low in _TYPES:
        return _TYPES[low]
    if low.startswith(("tabseparated", "tsv")):
        return _TYPES["tsv"]
    if low.startswith("json") and not low.startswith("jsonstringseachrow"):
        return "application/x-ndjson; charset=UTF-8" if "eachrow" in low else _TYPES["json"]
    if low.startswith(_BINARY):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


def summary(outcome: Outcome | None) -> str:
    """`X-ClickHouse-Summary`: counters as strings; zeros while a result still streams."""
    done = outcome or Outcome()
    return json.dumps(
        {
            "read_rows": str(done.read_rows),
            "read_bytes": str(done.read_bytes),
            "written_rows": str(done.written_rows),
            "written_bytes": str(done.written_bytes),
            "total_rows_to_read": str(done.read_rows),
            "result_rows": str(done.result_rows or done.written_rows),
            "result_bytes": str(done.written_bytes),
            "elapsed_ns": str(int(done.elapsed * 1e9)),
        },
        separators=(",", ":"),
    )


def exception_block(error: ServerError, tag: str, version: str) -> bytes:
    """What ends a streamed body whose query failed after its first bytes were sent."""
    message = error.body(version)
    mark = tag.encode()
    return b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (
        mark,
        message,
        len(message),
        mark,
    )
