"""A client that sends and shows exact bytes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
import struct
from typing import Any, cast

from rig.http11 import Dechunker, Head, Headers, parse_head, request_bytes

WAIT = 15.0
"""Seconds after which a test that waits for something has failed; never reached by a test that passes."""


@dataclasses.dataclass
class Answer:
    """One answer, exactly as it came."""

    head: Head
    raw_body: bytes
    """Body bytes with their chunk framing."""
    body: bytes
    """Body bytes without chunk framing (still content-encoded)."""
    complete: bool
    """The body ended as its framing says. False: the connection broke off before."""
    interim: list[Head]
    """Informational answers that came before."""
    chunks: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.head.start.split(" ")[1])

    def header(self, name: str) -> str | None:
        return self.head.get(name)

    def json(self) -> Any:
        return json.loads(self.body)


class RawClient(asyncio.Protocol):
    """``client = await RawClient.open(port)``; then ``send`` and ``answer``."""

    def __init__(self) -> None:
        self.received = bytearray()
        """Everything that ever came."""
        self.reads: list[bytes] = []
        """What each read of the socket gave."""
        self.ended = asyncio.Event()
        """The other side closed or reset."""
        self.error: Exception | None = None
        """``ConnectionResetError`` if the end was an RST."""
        self._at = 0
        self._changed = asyncio.Event()

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1", receive_buffer: int | None = None) -> RawClient:
        """Connects. ``receive_buffer`` limits the kernel's buffer, to be a slow reader of little."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (host, port))
        _, client = await loop.create_connection(cls, sock=sock)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.reads.append(data)
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended.set()
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.ended.set()
        self._changed.set()

    # sending

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def request(
        self,
        method: str,
        target: str,
        headers: Headers | None = None,
        body: bytes | None = None,
        json: Any = None,
        chunked: bool = False,
    ) -> None:
        """Sends one request."""
        self.send(request_bytes(method, target, headers, body, json, chunked=chunked))

    def half_close(self) -> None:
        """FIN: nothing more will be sent, answers are still read."""
        self.transport.write_eof()

    def close(self) -> None:
        """Leaves in order."""
        self.transport.close()

    def abort(self) -> None:
        """Leaves with an RST."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def pause(self) -> None:
        """Stops reading: the sender's buffers fill."""
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    # receiving

    async def until(self, part: bytes) -> bytes:
        """Waits until ``part`` came (from the last answer's end on); returns everything up to its end."""
        async with asyncio.timeout(WAIT):
            start = self._at
            while (found := self.received.find(part, start)) < 0:
                start = max(start, len(self.received) - len(part))
                if self.ended.is_set():
                    raise EOFError(f"ended before {part!r}: {bytes(self.received[self._at :])[-200:]!r}")
                await self._more()
        return bytes(self.received[self._at : found + len(part)])

    async def closed(self) -> None:
        """Waits until the other side has closed."""
        async with asyncio.timeout(WAIT):
            await self.ended.wait()

    async def answer(self, method: str = "POST") -> Answer:
        """The next answer on this connection. Raises ``EOFError`` if the connection ends before its head."""
        async with asyncio.timeout(WAIT):
            interim: list[Head] = []
            while True:
                head = await self._head()
                status = int(head.start.split(" ")[1])
                if status >= 200 or status == 101:
                    break
                interim.append(head)
            if method == "HEAD" or status in (101, 204, 304):
                return Answer(head, b"", b"", True, interim)
            if head.chunked:
                return await self._chunked(head, interim)
            return await self._plain(head, interim)

    async def _head(self) -> Head:
        while (end := self.received.find(b"\r\n\r\n", self._at)) < 0:
            if self.ended.is_set():
                raise EOFError(f"ended without an answer: {bytes(self.received[self._at :])[:200]!r}")
            await self._more()
        head = parse_head(bytes(self.received[self._at : end + 4]))
        self._at = end + 4
        return head

    async def _chunked(self, head: Head, interim: list[Head]) -> Answer:
        framing = Dechunker()
        while True:
            rest = framing.feed(bytes(self.received[self._at :]))
            self._at = len(self.received) - len(rest)
            if framing.done or self.ended.is_set():
                break
            await self._more()
        raw = bytes(framing.raw) + framing.remains()
        return Answer(head, raw, bytes(framing.body), framing.done, interim, framing.chunks)

    async def _plain(self, head: Head, interim: list[Head]) -> Answer:
        want = head.length
        while not self.ended.is_set() and (want is None or len(self.received) - self._at < want):
            await self._more()
        have = len(self.received) - self._at
        body = bytes(self.received[self._at : self._at + (have if want is None else want)])
        self._at += len(body)
        complete = self.error is None if want is None else len(body) == want
        return Answer(head, body, body, complete, interim)

    async def _more(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def call(
    port: int,
    method: str,
    target: str,
    headers: Headers | None = None,
    body: bytes | None = None,
    json: Any = None,
    chunked: bool = False,
) -> Answer:
    """One call on its own connection."""
    client = await RawClient.open(port)
    try:
        client.request(method, target, headers, body, json, chunked)
        return await client.answer(method)
    finally:
        client.close()
