"""Write-once objects under the lake's root: a directory or an S3 bucket.

There is no way here to overwrite or delete an object. What the bytes mean is `objects.py`, where
they lie `paths.py`.
"""

from __future__ import annotations

import ctypes
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stock_platform.errors import PlatformError

if TYPE_CHECKING:
    from stock_platform.settings import Settings

THREADS = 16
"""Requests under way at once where each one waits for a network."""
_SYNC_BATCH = 2048
_SYNC_ONE_BY_ONE = 32
"""Above this many files one flush of the file system is far cheaper than a flush for each."""
_SCRATCH_SECONDS = 24 * 3600


class StoreError(PlatformError):
    """The lake's root can't be read or written; the message names it and the mend."""


class ObjectStore(Protocol):
    """Objects by key, a path relative to the root."""

    root: str

    def put_new(self, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        """Create the objects that do not exist, durable on return.

        Returns:
            The keys that existed already and were left as they are.
        """

    def get(self, key: str) -> bytes:
        """The bytes of an object."""

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """Key and size of every object below a folder, none when the folder does not exist."""

    def uri(self, key: str) -> str:
        """The object's address in the catalog: `file:///...` or `s3://...`."""

    def location(self, key: str) -> str:
        """The object's address for readers: an absolute path or `s3://...`."""

    def polars_options(self) -> dict[str, str] | None:
        """Storage options for polars."""

    def iceberg_properties(self) -> dict[str, str]:
        """File access properties for pyiceberg."""


def open_store(settings: Settings) -> ObjectStore:
    """The store at the configured root.

    Raises:
        StoreError: the root can't be one.
    """
    if settings.lake_root.startswith("s3://"):
        from stock_platform.lake.store_s3 import S3Store

        return S3Store(settings)
    if unusable := set(settings.lake_root) & set("#?%"):
        raise StoreError(
            f"the lake's directory {settings.lake_root} holds {' '.join(sorted(unusable))},"
            " which the catalog reads as part of a URL: set STOCK_PLATFORM_HOME or"
            " STOCK_PLATFORM_LAKE_URL to one without"
        )
    return LocalStore(settings.lake_root)


class LocalStore:
    """A directory. An object appears at once and whole: linked into place when it is on disk."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._scratch = Path(root) / ".incoming"

    def put_new(self, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        """See `ObjectStore.put_new`."""
        existed: list[str] = []
        try:
            self._sweep()
            for start in range(0, len(objects), _SYNC_BATCH):
                existed += self._put_batch(objects[start : start + _SYNC_BATCH])
        except OSError as error:
            raise StoreError(
                f"can't write to the lake at {self.root}: {error.strerror or error}"
                " (check its owner and the free space, or set STOCK_PLATFORM_LAKE_URL)"
            ) from error
        return existed

    def _put_batch(self, objects: Sequence[tuple[str, bytes]]) -> list[str]:
        scratch = [self._scratch / uuid.uuid4().hex for _ in objects]
        existed = []
        folders: set[Path] = set()
        try:
            for path, (_, data) in zip(scratch, objects, strict=True):
                path.write_bytes(data)
            self._sync(scratch)
            for path, (key, _) in zip(scratch, objects, strict=True):
                target = Path(self.root, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, target)
                except FileExistsError:
                    existed.append(key)
                folders.update(Path(key).parents)
        finally:
            for path in scratch:
                path.unlink(missing_ok=True)
        self._sync([Path(self.root, folder) for folder in folders])
        return existed

    def _sweep(self) -> None:
        """Drop what a writer killed long ago left behind; what it had linked is unaffected."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        for path in self._scratch.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _SCRATCH_SECONDS:
                    path.unlink()

    def _sync(self, paths: Sequence[Path]) -> None:
        """Put the contents of files, and the entries of folders, on disk."""
        if len(paths) > _SYNC_ONE_BY_ONE:
            paths = [self._scratch]
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if path == self._scratch:
                    _sync_file_system(descriptor)
                else:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`."""
        return (Path(self.root) / key).read_bytes()

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See `ObjectStore.list`."""
        for where, _, files in os.walk(Path(self.root, folder)):
            for name in files:
                path = Path(where, name)
                yield path.relative_to(self.root).as_posix(), path.stat().st_size

    def uri(self, key: str) -> str:
        """See `ObjectStore.uri`."""
        return f"file://{self.root}/{key}"

    def location(self, key: str) -> str:
        """See `ObjectStore.location`."""
        return f"{self.root}/{key}"

    def polars_options(self) -> dict[str, str] | None:
        """See `ObjectStore.polars_options`."""
        return None

    def iceberg_properties(self) -> dict[str, str]:
        """See `ObjectStore.iceberg_properties`."""
        return {}


def _sync_file_system(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
