"""One query from its request to the last byte of its answer.

The worker thread runs the query; here the pipe's bytes become the response and a client that goes
away becomes a cancelled query.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import string
import tempfile
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import Headers
from starlette.types import Send

from stock_platform.warehouse.server import codecs
from stock_platform.warehouse.server.body import Body
from stock_platform.warehouse.server.engine import Engine
from stock_platform.warehouse.server.errors import TIMEOUT_EXCEEDED, ServerError
from stock_platform.warehouse.server.execution import Outcome
from stock_platform.warehouse.server.request import Request
from stock_platform.warehouse.server.response import content_type, exception_block, summary
from stock_platform.warehouse.server.worker import Worker

log = logging.getLogger(__name__)

FIRST_BYTES = 1 << 20
"""A result up to this size is answered whole: with its final summary, or a proper error status."""

_UNPRINTABLE = re.compile(r"[^ -~]")
"""What would end a header early or is not allowed in one."""

Header = tuple[bytes, bytes]


class Exchange:
    """Runs a request's query and sends the answer."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        body: Body,
        worker: Worker,
        seconds: float | None = None,
    ) -> None:
        self.engine, self.request, self.body, self.worker = engine, request, body, worker
        self.seconds, self.started = seconds, False
        self.tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))

    async def answer(self, pool: ThreadPoolExecutor, headers: Headers, send: Send) -> None:
        """Run to the end or the time limit, whatever the client does.

        Raises:
            ServerError: the query failed before the first byte was sent.
        """
        loop = asyncio.get_running_loop()
        read_end, write_end = os.pipe()
        stream = asyncio.StreamReader(limit=FIRST_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
        )
        work = loop.run_in_executor(pool, self.worker.run, write_end)
        reply = asyncio.create_task(self._reply(stream, work, headers, send))
        watch = asyncio.create_task(self.body.disconnected())
        try:
            done, _ = await asyncio.wait(
                {reply, watch}, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if reply.done():
                reply.result()
            elif not done and self.started:
                raise BrokenStreamError
            elif not done:
                raise ServerError(
                    TIMEOUT_EXCEEDED, f"Timeout exceeded: maximum: {self.seconds} seconds"
                )
        finally:
            watch.cancel()
            reply.cancel()
            transport.close()
            await asyncio.shield(self._stop(work))

    async def _stop(self, work: asyncio.Future[Outcome]) -> None:
        """Cancel what still runs and wait for it, so that nothing outlives its request."""
        while not work.done():
            await asyncio.to_thread(self.worker.cancel)
            await asyncio.wait({work}, timeout=0.1)
        error = None if work.cancelled() else work.exception()
        if error is not None and not isinstance(error, ServerError):
            log.error("query %s broke the server", self.request.query_id, exc_info=error)

    async def _reply(
        self,
        stream: asyncio.StreamReader,
        work: asyncio.Future[Outcome],
        headers: Headers,
        send: Send,
    ) -> None:
        first = await _read_first(stream, None if self.request.wait_end_of_query else FIRST_BYTES)
        encoding = None
        if self.request.compression:
            encoding = codecs.choose(headers.get("accept-encoding", ""))
        encoder = codecs.encoder(encoding) if encoding else None
        with first:
            outcome = await work if stream.at_eof() else None
            size = first.seek(0, os.SEEK_END)
            first.seek(0)
            whole = first.read() if size <= FIRST_BYTES and outcome is not None else None
            if outcome is not None and not size:
                whole = outcome.empty_header
            extra: list[Header] = []
            if encoding:
                extra.append((b"content-encoding", encoding.encode()))
            if whole is not None:
                if encoder is not None:
                    whole = encoder.feed(whole) + encoder.finish()
                extra.append((b"content-length", str(len(whole)).encode()))
                await self._start(send, outcome, extra)
                await send({"type": "http.response.body", "body": whole})
                return
            await self._start(send, outcome, extra)
            while piece := first.read(FIRST_BYTES):
                await _send(send, encoder, piece)
        while piece := await stream.read(FIRST_BYTES):
            await _send(send, encoder, piece)
        try:
            await work
        except ServerError as error:
            block = exception_block(error, self.tag, self.engine.version)
            await _send(send, encoder, block)
            tail = encoder.finish() if encoder else b""
            await send({"type": "http.response.body", "body": tail, "more_body": True})
            raise BrokenStreamError from None
        tail = encoder.finish() if encoder else b""
        await send({"type": "http.response.body", "body": tail, "more_body": False})

    async def _start(self, send: Send, outcome: Outcome | None, extra: list[Header]) -> None:
        self.started = True
        fmt = outcome.format if outcome else self.worker.format
        headers = [
            (b"content-type", content_type(fmt).encode()),
            *common_headers(self.engine, self.request.query_id),
            (b"x-clickhouse-summary", summary(outcome).encode()),
            (b"x-clickhouse-exception-tag", self.tag.encode()),
            *extra,
        ]
        if fmt:
            headers.append((b"x-clickhouse-format", fmt.encode("utf-8", "replace")))
        await send({"type": "http.response.start", "status": 200, "headers": headers})


class BrokenStreamError(Exception):
    """The query failed in mid-stream: the connection must be cut, not ended politely."""


def common_headers(engine: Engine, query_id: str) -> list[Header]:
    """Headers of every answer to a query, also of a refusal."""
    return [
        (b"x-clickhouse-server-display-name", engine.display_name.encode()),
        (b"x-clickhouse-query-id", _UNPRINTABLE.sub("?", query_id).encode()),
        (b"x-clickhouse-timezone", engine.timezone.encode()),
    ]


async def _read_first(
    stream: asyncio.StreamReader, limit: int | None
) -> tempfile.SpooledTemporaryFile[bytes]:
    """Read up to a limit, or to the end without one (beyond memory, on disk)."""
    held = tempfile.SpooledTemporaryFile(max_size=16 << 20)  # noqa: SIM115
    size = 0
    while limit is None or size < limit:
        piece = await stream.read(FIRST_BYTES)
        if not piece:
            break
        size += len(piece)
        held.write(piece)
    return held


async def _send(send: Send, encoder: codecs.Encoder | None, piece: bytes) -> None:
    if encoder is not None:
        piece = encoder.feed(piece)
    if piece:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
