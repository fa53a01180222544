"""moto's AWS (S3 and Glue) on loopback, with Glue's optimistic lock, which moto leaves out.

AWS refuses an UpdateTable whose VersionId is not the table's present one; moto takes any, so that
of two commits at once one would be lost without a word.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def aws() -> Iterator[str]:
    """The address of a server."""
    from moto.core.exceptions import JsonRESTError
    from moto.glue.responses import GlueResponse
    from moto.server import ThreadedMotoServer

    update, lock = GlueResponse.update_table, threading.Lock()

    def update_table(self: Any) -> Any:
        wanted = self.parameters
        with lock:
            table = self.glue_backend.get_table(
                wanted["DatabaseName"], wanted["TableInput"]["Name"]
            )
            if wanted["VersionId"] != table.as_dict()["VersionId"]:
                raise JsonRESTError("ConcurrentModificationException", "Update table failed")
            return update(self)

    GlueResponse.update_table = update_table
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        GlueResponse.update_table = update
