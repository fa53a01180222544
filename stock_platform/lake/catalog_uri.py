"""Which Iceberg catalog `STOCK_PLATFORM_CATALOG_URI` names: a database, AWS Glue or a REST server.

    sqlite:///..., postgresql+psycopg2://...                  a database, by SQLAlchemy
    glue://?region=...&id=...&endpoint=...                    AWS Glue, with the keys of S3
    rest+https://[id:secret@]host[:port]/path?warehouse=...   an Iceberg REST catalog; `:token@` too

`namespace` (default `lake`) is the database in Glue and the namespace of a REST catalog. Each
library is imported only where it is used. The tables themselves are `catalog.py`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog as IcebergCatalog

NAMESPACE = "lake"
_PARAMETERS = {
    "glue": {"region": "glue.region", "id": "glue.id", "endpoint": "glue.endpoint"},
    "rest": {
        **{name: name for name in ("warehouse", "prefix", "scope", "audience")},
        "token-url": "oauth2-server-uri",
    },
}
"""What a URI may say of each kind, by pyiceberg's name for it."""
_GLUE_KEYS = {f"s3.{name}": f"glue.{name}" for name in ("region", "access-key-id")} | {
    "s3.secret-access-key": "glue.secret-access-key"
}
"""What Glue takes from S3's settings unless the URI says otherwise."""
_LIBRARIES = frozenset({"sqlalchemy", "botocore", "requests", "urllib3"})
_SECRET = re.compile(r"(?<=:)[^:@/]+(?=@)")


class CatalogError(PlatformError):
    """The catalog can't be opened or committed to; the message names it and the mend."""


@dataclass(frozen=True)
class CatalogAddress:
    """A catalog by kind (sql, glue, rest), with pyiceberg's properties for it."""

    uri: str
    kind: str
    namespace: str
    properties: Mapping[str, str]

    @property
    def shown(self) -> str:
        """The address without a password or token."""
        return without_secrets(self.uri)

    def open(self, warehouse: str, files: Mapping[str, str]) -> IcebergCatalog:
        """Connect, and make the namespace where it is missing.

        Args:
            warehouse: where a table without a location would go.
            files: pyiceberg's properties for reading and writing metadata.

        Raises:
            CatalogError: it can't be reached, or refuses.
        """
        with self.named_errors("open"):
            if self.kind == "sql":
                return _open_database(self.uri, {"warehouse": warehouse, **files})
            catalog = self._connect(files)
            catalog.create_namespace_if_not_exists(self.namespace)
            return catalog

    def ask(self, files: Mapping[str, str]) -> None:
        """Ask a Glue or REST catalog for anything; nothing is made in it.

        Raises:
            CatalogError: it can't be reached, or refuses.
        """
        with self.named_errors("reach"):
            self._connect(files).list_namespaces()

    def _connect(self, files: Mapping[str, str]) -> IcebergCatalog:
        if self.kind == "glue":
            from pyiceberg.catalog.glue import GlueCatalog

            keys = {_GLUE_KEYS[name]: files[name] for name in _GLUE_KEYS if name in files}
            return GlueCatalog(self.namespace, **{**files, **keys, **self.properties})
        from pyiceberg.catalog.rest import RestCatalog

        return RestCatalog(self.namespace, **{**files, **self.properties})

    @contextmanager
    def named_errors(self, what: str) -> Iterator[None]:
        """Turn an error of the database, of AWS or of the server into one that names the catalog.

        A commit of which nobody knows what became passes, because the caller can look.
        """
        from pyiceberg.exceptions import CommitStateUnknownException, RESTError

        try:
            yield
        except CommitStateUnknownException:
            raise
        except Exception as error:
            library = type(error).__module__.partition(".")[0]
            if library not in _LIBRARIES and not isinstance(error, RESTError | ImportError):
                raise
            raise CatalogError(
                f"can't {what} the lake's catalog at {self.shown}: {without_secrets(str(error))}"
                " (check STOCK_PLATFORM_CATALOG_URI)"
            ) from error


def parse(uri: str) -> CatalogAddress:
    """What a URI names.

    Raises:
        CatalogError: a parameter is unknown, or the host is missing.
    """
    scheme = uri.partition(":")[0]
    kind, _, protocol = scheme.partition("+")
    if scheme not in ("glue", "rest+http", "rest+https"):
        return CatalogAddress(uri, "sql", NAMESPACE, {})
    parts, known = urlsplit(uri), _PARAMETERS[kind]
    given = dict(parse_qsl(parts.query))
    namespace = given.pop("namespace", NAMESPACE)
    wrong = f"STOCK_PLATFORM_CATALOG_URI={without_secrets(uri)}"
    for name in given:
        if name not in known:
            names = ", ".join(sorted((*known, "namespace")))
            raise CatalogError(
                f"{wrong}: no parameter {name!r} of a {kind} catalog, it has {names}"
            )
    properties = {known[name]: value for name, value in given.items()}
    if kind == "rest":
        if not parts.hostname:
            raise CatalogError(f"{wrong}: the host is missing, write {scheme}://host:8181")
        host = parts.netloc.rpartition("@")[2]
        properties["uri"] = f"{protocol}://{host}{parts.path.rstrip('/')}"
        if parts.username:
            properties["credential"] = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            properties.setdefault("oauth2-server-uri", f"{properties['uri']}/v1/oauth/tokens")
        elif parts.password:
            properties["token"] = unquote(parts.password)
    elif parts.netloc or parts.path.strip("/"):
        raise CatalogError(f"{wrong}: Glue has no host, write glue://?region=eu-central-1")
    return CatalogAddress(uri, kind, namespace, properties)


def without_secrets(text: str) -> str:
    """The text with the password or token of any address in it blotted out."""
    return _SECRET.sub("***", text)


def _open_database(uri: str, properties: Mapping[str, str]) -> IcebergCatalog:
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.exc import SQLAlchemyError

    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        uri += "?timeout=60"  # wait for a rival's commit instead of "database is locked"
    for attempt in range(3):
        try:
            catalog = SqlCatalog(NAMESPACE, uri=uri, **properties)
            catalog.create_namespace_if_not_exists(NAMESPACE)
        except SQLAlchemyError:
            if attempt == 2:
                raise
            # Of two processes that make a new catalog, one finds its tables half made.
            time.sleep(0.2)
        else:
            return catalog
    raise AssertionError("unreachable")
