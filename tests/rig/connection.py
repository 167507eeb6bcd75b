"""One TCP connection as seen by the scripted upstream: bytes in, bytes out, and everything written down."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from rig.http11 import Dechunker, Head, parse_head

T = TypeVar("T")
Serve = Callable[["Peer"], Awaitable[None]]


class PeerGoneError(Exception):
    """The other side closed or reset the connection while the script still had something to do."""


@dataclasses.dataclass
class Seen:
    """One request as it arrived."""

    connection: int
    """Number of the connection, from 0."""
    nth: int
    """Number of the request on its connection, from 0."""
    head: Head
    body: bytes = b""
    """The body without chunk framing, as far as it came."""
    raw_body: bytes = b""
    """The body as it came over the wire."""
    complete: bool = False
    """The whole body arrived."""

    @property
    def method(self) -> str:
        return self.head.start.split(" ")[0]

    @property
    def target(self) -> str:
        """Request target, escapes kept."""
        return self.head.start.split(" ")[1]

    def header(self, name: str) -> str | None:
        return self.head.get(name)


class Peer(asyncio.Protocol):
    """One connection, server side. Scripts use ``write``, ``drain``, ``read_body``, ``close``, ``reset``."""

    def __init__(self, number: int, serve: Serve) -> None:
        self.number = number
        self.seen: list[Seen] = []
        self.received = 0
        self.opened_at = time.monotonic()
        self.closed_by_peer_at: float | None = None
        """Monotonic time at which the other side was seen to leave (FIN or RST)."""
        self.gone = asyncio.Event()
        """The other side left."""
        self.lost = asyncio.Event()
        """The connection is no more, whoever ended it."""
        self.reset_by_peer = False
        self._serve = serve
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> bool:
        self._left()
        return self.transport.get_extra_info("sslcontext") is None  # TLS has no half-closed connections

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self.reset_by_peer = exc is not None
            self._left()
        self.lost.set()
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _left(self) -> None:
        if self.closed_by_peer_at is None:
            self.closed_by_peer_at = time.monotonic()
        self.gone.set()
        self._arrived.set()

    async def _run(self) -> None:
        with contextlib.suppress(PeerGoneError):
            await self._serve(self)
        self.close()

    async def stop(self) -> None:
        """Ends the script and the connection."""
        if self._task is None:  # there never was one: the TLS handshake failed
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.reset()

    # what scripts use

    async def race(self, waiting: Awaitable[T]) -> T:
        """Waits for something elsewhere; raises :class:`PeerGoneError` if the peer leaves first."""
        task = asyncio.ensure_future(waiting)
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
        if not task.done() or task.cancelled():
            raise PeerGoneError
        return task.result()

    async def next_request(self) -> Seen | None:
        """Head of the next request; ``None`` when the connection ended between requests."""
        while b"\r\n\r\n" not in self._buffer:
            if self.gone.is_set() or self.lost.is_set():
                return None
            await self._more()
        end = self._buffer.index(b"\r\n\r\n") + 4
        head = parse_head(bytes(self._buffer[:end]))
        del self._buffer[:end]
        seen = Seen(self.number, len(self.seen), head)
        self.seen.append(seen)
        if not head.chunked and not head.length:
            seen.complete = True
        return seen

    async def read_body(self, seen: Seen) -> bytes:
        """Reads the body to its end (what came is in ``seen`` even if the peer leaves half-way)."""
        if seen.complete:
            return seen.body
        if seen.head.chunked:
            await self._read_chunked(seen)
        else:
            want = seen.head.length or 0
            while len(seen.body) < want:
                part = bytes(self._buffer[: want - len(seen.body)])
                del self._buffer[: len(part)]
                seen.body += part
                seen.raw_body = seen.body
                if len(seen.body) < want:
                    await self._more_or_gone()
        seen.complete = True
        return seen.body

    async def _read_chunked(self, seen: Seen) -> None:
        framing = Dechunker()
        while not framing.done:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._buffer += framing.feed(data)
            seen.body, seen.raw_body = bytes(framing.body), bytes(framing.raw)
            if not framing.done:
                await self._more_or_gone()

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    async def _more_or_gone(self) -> None:
        if self.gone.is_set() or self.lost.is_set():
            raise PeerGoneError
        await self._more()

    def write(self, data: bytes) -> None:
        """One write to the socket."""
        if self.lost.is_set():
            raise PeerGoneError
        self.transport.write(data)

    async def drain(self) -> None:
        """Waits until the transport's buffer is low again."""
        await self._writable.wait()
        if self.lost.is_set():
            raise PeerGoneError

    def pause_reading(self) -> None:
        """Lets the peer's data pile up in the kernel."""
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        self.transport.resume_reading()

    def close(self) -> None:
        """Orderly end (FIN) after what was written."""
        self._closing = True
        self.transport.close()

    def reset(self) -> None:
        """RST: what was not read by the peer yet may be lost to it."""
        self._closing = True
        sock: socket.socket | None = self.transport.get_extra_info("socket")
        if sock is not None and not self.lost.is_set():
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
