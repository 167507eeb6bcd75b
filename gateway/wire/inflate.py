"""Inflates a copy of a compressed body, within limits.

Nothing more than ``PIECE`` bytes is ever held; a body that inflates suspiciously well or far is not looked at
any further (``ExpansionError``).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

PIECE = 262_144
RATIO = 250
"""Inflated bytes per byte received, beyond the first ``FREE`` bytes. The wordiest event streams stay below 60."""
FREE = 1_048_576
TOTAL = 256 * 1_048_576
MOST_ENCODINGS = 4
"""One upon the other; each takes its own memory, and more than two are nobody's."""
SLICE = 16_384
"""Bytes inflated in one go: what follows a member or a full piece is copied each time."""
_HEADER = 16
"""Bytes by which a gzip or zlib header has shown itself."""

Take = Callable[[bytes], None]


class ExpansionError(Exception):
    """The body inflates beyond the limits."""


class EncodingError(Exception):
    """The body is not in the encoding it says it is in, or in one we do not know."""


class Inflater(Protocol):
    """Inflates piece by piece into the ``take`` it was made with. Raises ``ExpansionError`` or ``EncodingError``."""

    def feed(self, data: bytes) -> None: ...


class Meter:
    """Passes pieces on while they stay within the limits."""

    __slots__ = ("_received", "_sent", "_take")

    def __init__(self, take: Take) -> None:
        self._take = take
        self._received = 0
        self._sent = 0

    def received(self, size: int) -> None:
        self._received += size

    def write(self, piece: bytes) -> int:
        self._sent += len(piece)
        if self._sent > TOTAL or self._sent > FREE + RATIO * self._received:
            raise ExpansionError
        self._take(bytes(piece))
        return len(piece)


class Zlib:
    """gzip and deflate; deflate with and without the zlib wrapping, gzip with several members."""

    __slots__ = ("_first", "_inflate", "_meter", "_wrapped")

    def __init__(self, take: Take) -> None:
        self._meter = Meter(take)
        self._inflate = zlib.decompressobj(wbits=47)
        self._wrapped = False
        """A header was there: the body is not bare deflate."""
        self._first = b""
        """What came before that was known."""

    def feed(self, data: bytes) -> None:
        self._meter.received(len(data))
        if len(data) <= SLICE:
            self._feed(data)
            return
        for at in range(0, len(data), SLICE):
            self._feed(data[at : at + SLICE])

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                if self._wrapped:
                    raise EncodingError from error
                self._wrapped = True
                self._inflate = zlib.decompressobj(wbits=-15)
                data, self._first = self._first + data, b""
                continue
            if piece:
                self._wrapped = True
                self._meter.write(piece)
            elif not self._wrapped:
                self._first += data
                self._wrapped = len(self._first) > _HEADER
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = self._inflate.unused_data.lstrip(b"\0")
                self._inflate = zlib.decompressobj(wbits=47)


class Brotli:
    __slots__ = ("_inflate", "_meter")

    def __init__(self, take: Take) -> None:
        import brotli

        self._meter = Meter(take)
        self._inflate = brotli.Decompressor()

    def feed(self, data: bytes) -> None:
        import brotli

        self._meter.received(len(data))
        try:
            piece = self._inflate.process(data, output_buffer_limit=PIECE)
            while piece:
                self._meter.write(piece)
                if self._inflate.can_accept_more_data():
                    break
                piece = self._inflate.process(b"", output_buffer_limit=PIECE)
        except brotli.error as error:
            raise EncodingError from error


class Zstd:
    __slots__ = ("_inflate", "_meter")

    def __init__(self, take: Take) -> None:
        import zstandard

        self._meter = Meter(take)
        decompressor = zstandard.ZstdDecompressor(max_window_size=8 * 1_048_576)
        self._inflate = decompressor.stream_writer(
            cast(IO[bytes], self._meter), write_size=PIECE, closefd=False
        )

    def feed(self, data: bytes) -> None:
        import zstandard

        self._meter.received(len(data))
        try:
            self._inflate.write(data)
        except zstandard.ZstdError as error:
            raise EncodingError from error


def inflater(encoding: str, take: Take) -> Inflater | None:
    """The inflater for a ``Content-Encoding``; ``None`` for identity. Raises ``EncodingError`` for unknown ones."""
    names = [
        name
        for name in (part.strip().lower() for part in encoding.split(","))
        if name not in ("", "identity")
    ]
    if not names:
        return None
    if len(names) > MOST_ENCODINGS:
        raise EncodingError("too many")
    made: Inflater | None = None
    for name in names:
        # listed in the order applied: the first listed is inflated last, closest to ``take``
        if name in ("gzip", "x-gzip", "deflate"):
            made = Zlib(take)
        elif name == "br":
            made = Brotli(take)
        elif name == "zstd":
            made = Zstd(take)
        else:
            raise EncodingError(name)
        take = made.feed
    return made
