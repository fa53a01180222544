"""HTTP content encodings, streaming in both directions: gzip, deflate, zstd, lz4, br.

ClickHouse's own block compression (`compress=1`) is not HTTP's and not here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import lz4.frame
import zstandard

from stock_platform.warehouse.server.errors import CANNOT_DECOMPRESS, NOT_IMPLEMENTED, ServerError

brotli: Any = None
with suppress(ImportError):
    import brotli  # type: ignore[import-untyped, no-redef, unused-ignore]


class Encoder(Protocol):
    """Compresses one stream: feed pieces, then take what is left."""

    def feed(self, data: bytes) -> bytes:
        """What can be passed on after this piece."""

    def finish(self) -> bytes:
        """What was still held back."""


class Decoder(Protocol):
    """Decompresses one stream, in pieces small enough to hold."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What this piece becomes, bit by bit."""

    def finish(self) -> None:
        """Raise when the stream is not complete."""


_PREFERRED = ("lz4", "zstd", "gzip", *(["br"] if brotli else []), "deflate")
_ERRORS = (zlib.error, zstandard.ZstdError, RuntimeError, EOFError)
"""What the decompressors raise; lz4 has no exception of its own."""

_SLICES = {"zstd": 1 << 10, "br": 1 << 4}
_SLICE = 1 << 14
"""Compressed bytes to expand at a time. A few bytes may stand for very many (zstd: 32 kB each, br:
over 600 kB, gzip: 1 kB), and what they become is in memory at once: here up to about 40 MB."""


def choose(accept: str) -> str | None:
    """The encoding to answer with for an `Accept-Encoding` header, None for none."""
    offered = set()
    for part in accept.lower().split(","):
        name, _, quality = part.strip().partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            offered.add(name.strip())
    return next((name for name in _PREFERRED if name in offered), None)


def encoder(name: str) -> Encoder:
    """A compressor for one response."""
    if name == "lz4":
        return _Lz4Encoder(lz4.frame.LZ4FrameCompressor())
    if name == "zstd":
        return _ZlibLike(zstandard.ZstdCompressor(level=1).compressobj())
    if name == "br":
        return _Brotli(brotli.Compressor(quality=4))
    return _ZlibLike(zlib.compressobj(3, zlib.DEFLATED, 31 if name == "gzip" else 15))


def decoder(name: str) -> Decoder:
    """A decompressor for one request body.

    Raises:
        ServerError: an encoding this server does not know.
    """
    name = name.strip().lower()
    if name in ("", "identity"):
        return _Identity()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Checked(zlib.decompressobj(15 if name == "deflate" else 31), name)
    if name == "zstd":
        return _Checked(zstandard.ZstdDecompressor().decompressobj(), name)
    if name == "lz4":
        return _Checked(lz4.frame.LZ4FrameDecompressor(), name)
    if name == "br" and brotli:
        return _BrotliDecoder(brotli.Decompressor())
    raise ServerError(
        NOT_IMPLEMENTED,
        f"Unknown compression method {name!r} of the request body: "
        f"send one of {', '.join(_PREFERRED)}",
    )


class _Identity:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        pass


class _ZlibLike:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def feed(self, data: bytes) -> bytes:
        return bytes(self.stream.compress(data))

    def finish(self) -> bytes:
        return bytes(self.stream.flush())


class _Lz4Encoder(_ZlibLike):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.begun = False

    def feed(self, data: bytes) -> bytes:
        start = b"" if self.begun else self.stream.begin()
        self.begun = True
        return bytes(start + self.stream.compress(data))

    def finish(self) -> bytes:
        start = b"" if self.begun else self.stream.begin()
        return bytes(start + self.stream.flush())


class _Brotli:
    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def feed(self, data: bytes) -> bytes:
        return bytes(self.stream.process(data))

    def finish(self) -> bytes:
        return bytes(self.stream.finish())


class _Checked:
    """Decompress concatenated members; a broken or cut stream is the sender's error."""

    def __init__(self, stream: Any, name: str) -> None:
        self.stream, self.name, self.fed = stream, name, False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in _slices(data, self.name):
            rest = piece
            while rest:
                if self.stream.eof:
                    self.stream = decoder(self.name).stream  # type: ignore[attr-defined]
                try:
                    yield self.stream.decompress(rest)
                except _ERRORS as error:
                    raise _broken(self.name, str(error)) from None
                self.fed = True
                rest = (self.stream.unused_data or b"") if self.stream.eof else b""

    def finish(self) -> None:
        if self.fed and not self.stream.eof:
            raise _broken(self.name, "the stream is cut short")


class _BrotliDecoder:
    def __init__(self, stream: Any) -> None:
        self.stream, self.fed = stream, False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for piece in _slices(data, "br"):
            self.fed = True
            try:
                yield bytes(self.stream.process(piece))
            except brotli.error as error:
                raise _broken("br", str(error)) from None

    def finish(self) -> None:
        if self.fed and not self.stream.is_finished():
            raise _broken("br", "the stream is cut short")


def _slices(data: bytes, name: str) -> Iterator[bytes]:
    size = _SLICES.get(name, _SLICE)
    return (data[at : at + size] for at in range(0, len(data), size))


def _broken(name: str, why: str) -> ServerError:
    return ServerError(
        CANNOT_DECOMPRESS,
        f"Cannot decompress the request body as {name}: {why}",
        "CANNOT_DECOMPRESS",
    )
