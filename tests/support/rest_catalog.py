"""A small Iceberg REST catalog on loopback, over pyiceberg's own SqlCatalog.

It answers the calls of the specification that the lake makes (config, token, namespaces, load,
create, commit), with the specification's codes and errors. It proves that the client, the prefix,
the login and the answers to lost commits are used rightly, not how any particular server behaves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest

CODES = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}
PREFIX = "warehouses/test"
"""Tells the client in its configuration, as servers of several warehouses do."""


@dataclass
class RestCatalogServer:
    """A running server: its address, the secret it accepts, what it was asked."""

    address: str
    token: str = "let-me-in"
    credential: str = "lake:s3cret"
    asked: list[str] = field(default_factory=list)
    silent_commits: int = 0
    """So many commits to come are made and answered with 500."""


@contextmanager
def rest_catalog(folder: Path) -> Iterator[RestCatalogServer]:
    """Serve a new catalog whose database is in `folder`, for tables on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = SqlCatalog("rest", uri=f"sqlite:///{folder / 'rest.db'}", warehouse=folder.as_uri())
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, code: int, body: Any = None) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            server.asked.append(f"{self.command} {path}")
            if path == "/v1/oauth/tokens":
                form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                if f"{form.get('client_id')}:{form.get('client_secret')}" == server.credential:
                    told = {"access_token": server.token, "token_type": "bearer"}
                    self._answer(200, {**told, "expires_in": 3600})
                else:
                    self._answer(401, {"error": "invalid_client"})
                return
            if self.headers.get("Authorization") != f"Bearer {server.token}":
                self._answer(401, _error(401, "NotAuthorizedException", "no such token"))
                return
            try:
                with lock:
                    self._answer(*self._route(path.removeprefix("/v1/"), body))
            except tuple(CODES) as error:
                code = next(code for kind, code in CODES.items() if isinstance(error, kind))
                self._answer(code, _error(code, type(error).__name__, str(error)))

        def _route(self, path: str, body: bytes) -> tuple[int, Any]:
            if path == "config":
                return 200, {"defaults": {}, "overrides": {"prefix": PREFIX}}
            parts = path.removeprefix(f"{PREFIX}/").split("/")
            match self.command, parts:
                case "GET", ["namespaces"]:
                    return 200, {"namespaces": [list(one) for one in tables.list_namespaces()]}
                case "POST", ["namespaces"]:
                    told = json.loads(body)
                    tables.create_namespace(tuple(told["namespace"]))
                    return 200, {"namespace": told["namespace"], "properties": {}}
                case "GET", ["namespaces", namespace, "tables", name]:
                    return 200, _loaded(tables.load_table((namespace, name)))
                case "POST", ["namespaces", namespace, "tables"]:
                    return 200, _loaded(_create(tables, namespace, json.loads(body)))
                case "POST", ["namespaces", namespace, "tables", name]:
                    request = CommitTableRequest.model_validate_json(body)
                    table = tables.load_table((namespace, name))
                    done = tables.commit_table(table, request.requirements, request.updates)
                    if server.silent_commits:
                        server.silent_commits -= 1
                        return 500, _error(500, "InternalServerError", "nobody knows")
                    return 200, _loaded(done)
            return 404, _error(404, "NotFound", path)

        do_GET = do_POST = do_HEAD = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Quiet."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = RestCatalogServer(f"127.0.0.1:{listening.server_port}")
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


def _error(code: int, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code}}


def _loaded(table: Any) -> dict[str, Any]:
    """A table or a commit's result, as the specification has it."""
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}


def _create(tables: SqlCatalog, namespace: str, told: dict[str, Any]) -> Any:
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema

    return tables.create_table(
        (namespace, told["name"]),
        schema=Schema.model_validate(told["schema"]),
        location=told["location"],
        partition_spec=PartitionSpec.model_validate(told["partition-spec"]),
        properties=told["properties"],
    )
