"""The request's body: decoded pieces for the worker thread, and word that the client went away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from stock_platform.warehouse.server.codecs import decoder
from stock_platform.warehouse.server.errors import (
    BAD_ARGUMENTS,
    QUERY_IS_TOO_LARGE,
    QUERY_WAS_CANCELLED,
    ServerError,
)

MAX_FORM_BYTES = 256 << 20
"""A form is held in memory whole."""


class Body:
    """Pulls the body from the server piece by piece, so that it is never held whole."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._decoder = decoder(headers.get("content-encoding", ""))
        self._pieces: Iterator[bytes] = iter(())
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self.gone = False

    async def next(self) -> bytes | None:
        """The next decoded piece, possibly empty; None after the last.

        Raises:
            ServerError: the client went away or its encoding is broken.
        """
        while True:
            piece = next(self._pieces, None)
            if piece is not None:
                return piece
            if self._ended.is_set():
                self._decoder.finish()
                return None
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ServerError(QUERY_WAS_CANCELLED, "Query was cancelled: the client went away")
            self._pieces = self._decoder.feed(message.get("body", b""))
            if not message.get("more_body", False):
                self._ended.set()

    def next_blocking(self) -> bytes | None:
        """`next` for a worker thread."""
        return asyncio.run_coroutine_threadsafe(self.next(), self._loop).result()

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """All pieces of a body that is to be held whole.

        Raises:
            ServerError: also when it is too large for that.
        """
        size = 0
        while (piece := await self.next()) is not None:
            size += len(piece)
            if size > MAX_FORM_BYTES:
                raise ServerError(QUERY_IS_TOO_LARGE, f"The form is over {MAX_FORM_BYTES} bytes")
            yield piece

    async def disconnected(self) -> None:
        """Return when the client has gone away after it sent its whole body."""
        await self._ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True


@dataclass(frozen=True)
class Form:
    """A multipart body: plain fields, and files that become temporary tables."""

    fields: dict[str, str]
    files: dict[str, bytes]


async def read_form(body: Body, headers: Headers) -> Form:
    """Read a multipart body whole.

    Raises:
        ServerError: it is malformed or a part is too large.
    """
    parser = MultiPartParser(
        headers, body.stream(), max_files=100, max_fields=10_000, max_part_size=MAX_FORM_BYTES
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise ServerError(BAD_ARGUMENTS, f"Cannot read the multipart body: {error}") from None
    fields: dict[str, str] = {}
    files: dict[str, bytes] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                fields[name] = value
    finally:
        await form.close()
    return Form(fields, files)
