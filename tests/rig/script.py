"""What the scripted upstream can be told to do. A script is ``async def script(peer, seen)``.

upstream.play(reply(json={"id": "x"}))                      # a JSON answer
upstream.play(sse(openai_events(), gate=go))                # a stream, one event per go.release()
upstream.play(reply(body=b"x" * 1000, cut=100))             # breaks off after 100 body bytes
upstream.play(steps(head(200), chunked(b"a"), wait(go), rst()))
"""

from __future__ import annotations

import asyncio
import enum
import gzip as gzip_module
import json as json_module
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any

from rig.connection import Peer, PeerGoneError, Seen
from rig.http11 import LAST_CHUNK, Headers, chunk

Script = Callable[[Peer, Seen], Awaitable[None]]


class Framing(enum.Enum):
    """How the end of a body is told."""

    LENGTH = "content-length"
    CHUNKED = "chunked"
    CLOSE = "close"


class End(enum.Enum):
    """What happens to the connection after the script's last byte."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"


def steps(*parts: Script) -> Script:
    """Several scripts one after the other."""

    async def script(peer: Peer, seen: Seen) -> None:
        for part in parts:
            await part(peer, seen)

    return script


def head_bytes(status: int, headers: Headers, reason: str | None = None) -> bytes:
    """A response head."""
    if reason is None:
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {reason}\r\n{lines}\r\n".encode("latin-1")


# single steps


def body_read() -> Script:
    """Reads the request body to its end."""

    async def script(peer: Peer, seen: Seen) -> None:
        await peer.read_body(seen)

    return script


def raw(data: bytes) -> Script:
    """Exactly these bytes, in one write."""

    async def script(peer: Peer, seen: Seen) -> None:
        peer.write(data)
        await peer.drain()

    return script


def head(status: int = 200, headers: Headers | None = None, framing: Framing = Framing.CHUNKED) -> Script:
    """A response head; for ``Framing.LENGTH`` give the content-length among the headers."""
    lines = list(headers or [])
    if framing is Framing.CHUNKED:
        lines.append(("Transfer-Encoding", "chunked"))
    elif framing is Framing.CLOSE:
        lines.append(("Connection", "close"))
    return raw(head_bytes(status, lines))


def interim(status: int = 100, headers: Headers | None = None) -> Script:
    """An informational answer (100, 103) before the real one."""
    return raw(head_bytes(status, headers or []))


def chunked(data: bytes) -> Script:
    """One chunk in one write."""
    return raw(chunk(data))


def chunked_end() -> Script:
    """The last chunk."""
    return raw(LAST_CHUNK)


def wait(event: asyncio.Event) -> Script:
    """Goes on when the test says so."""

    async def script(peer: Peer, seen: Seen) -> None:
        await peer.race(event.wait())

    return script


def flag(event: asyncio.Event) -> Script:
    """Tells the test that the script has come this far."""

    async def script(peer: Peer, seen: Seen) -> None:
        event.set()

    return script


def trickle(data: bytes, tick: float = 0.005) -> Script:
    """One byte per write, for as long as the peer stays."""

    async def script(peer: Peer, seen: Seen) -> None:
        for position in range(len(data)):
            peer.write(data[position : position + 1])
            await peer.race(asyncio.sleep(tick))

    return script


def hang() -> Script:
    """Nothing more, until the peer leaves."""

    async def script(peer: Peer, seen: Seen) -> None:
        await peer.gone.wait()
        raise PeerGoneError

    return script


def fin() -> Script:
    """Closes the connection in order; without an answer before it this is a stale keep-alive connection."""

    async def script(peer: Peer, seen: Seen) -> None:
        peer.close()
        raise PeerGoneError

    return script


def rst() -> Script:
    """Resets the connection."""

    async def script(peer: Peer, seen: Seen) -> None:
        peer.reset()
        raise PeerGoneError

    return script


def unread(event: asyncio.Event) -> Script:
    """Does not read from the socket until ``event`` (a slow reader), then reads the request body."""

    async def script(peer: Peer, seen: Seen) -> None:
        peer.pause_reading()
        await event.wait()
        peer.resume_reading()
        await peer.read_body(seen)

    return script


# whole answers


def reply(
    status: int = 200,
    body: bytes | Iterable[bytes] = b"",
    *,
    json: Any = None,
    headers: Headers | None = None,
    framing: Framing = Framing.LENGTH,
    gzip: bool = False,
    cut: int | None = None,
    end: End | None = None,
    read: bool = True,
) -> Script:
    """One whole answer. ``body`` as an iterable is sent piece by piece (chunks when framed so).

    ``cut``: only so many body bytes of what the head promised, then the connection ends (``end``, else FIN).
    ``read=False``: answers without waiting for the request body.
    """
    lines = list(headers or [])
    if json is not None:
        body = json_module.dumps(json).encode()
        lines.append(("Content-Type", "application/json"))
    pieces = [body] if isinstance(body, bytes) else list(body)
    if gzip:
        pieces = [gzip_module.compress(pieces[0])] if len(pieces) == 1 else deflated(pieces)
        lines.append(("Content-Encoding", "gzip"))
    if framing is Framing.LENGTH:
        lines.append(("Content-Length", str(sum(map(len, pieces)))))
    last = end or (End.KEEP if cut is None and framing is not Framing.CLOSE else End.CLOSE)

    async def script(peer: Peer, seen: Seen) -> None:
        if read:
            await peer.read_body(seen)
        await head(status, lines, framing)(peer, seen)
        if seen.method != "HEAD":
            await _send(peer, _cut(pieces, cut), framing, whole=cut is None)
        await finish(last)(peer, seen)

    return script


def sse(
    events: Sequence[bytes],
    *,
    gate: asyncio.Semaphore | None = None,
    headers: Headers | None = None,
    framing: Framing = Framing.CHUNKED,
    gzip: bool = False,
    burst: bool = False,
    then: Script | None = None,
    end: End = End.KEEP,
) -> Script:
    """An event stream, one write per event (all in one with ``burst``).

    ``gate``: each event waits for one ``gate.release()`` of the test. ``then`` replaces the clean end of
    the body (``hang()``, ``rst()``, ``fin()``) after the last event.
    """
    pieces = deflated(events) if gzip else list(events)
    lines: Headers = [("Content-Type", "text/event-stream; charset=utf-8"), *(headers or [])]
    if gzip:
        lines.append(("Content-Encoding", "gzip"))

    async def script(peer: Peer, seen: Seen) -> None:
        await peer.read_body(seen)
        await head(200, lines, framing)(peer, seen)
        framed = [chunk(piece) if framing is Framing.CHUNKED else piece for piece in pieces]
        for piece in [b"".join(framed)] if burst else framed:
            if gate is not None:
                await peer.race(gate.acquire())
            peer.write(piece)
            await peer.drain()
        if then is not None:
            await then(peer, seen)
        elif framing is Framing.CHUNKED:
            peer.write(LAST_CHUNK)
        await finish(End.CLOSE if framing is Framing.CLOSE else end)(peer, seen)

    return script


def finish(end: End) -> Script:
    """What :class:`End` says."""

    async def script(peer: Peer, seen: Seen) -> None:
        if end is End.CLOSE:
            peer.close()
            raise PeerGoneError
        if end is End.RESET:
            peer.reset()
            raise PeerGoneError

    return script


def redirect(location: str, status: int = 307) -> Script:
    """A redirect, which nobody may follow."""
    return reply(status, headers=[("Location", location)])


def garbage(data: bytes = b"\x16\x03\x01 this is not HTTP\r\n\r\n") -> Script:
    """Bytes that are not HTTP, then FIN."""
    return steps(body_read(), raw(data), fin())


def stale() -> Script:
    """Closes without an answer, as an idle connection that timed out at the other end."""
    return fin()


def deflated(pieces: Sequence[bytes]) -> list[bytes]:
    """Gzip, flushed after each piece, as providers compress streams."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
    packed = [squeeze.compress(piece) + squeeze.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    packed.append(squeeze.flush())
    return packed


def _cut(pieces: Sequence[bytes], limit: int | None) -> list[bytes]:
    if limit is None:
        return list(pieces)
    kept: list[bytes] = []
    for piece in pieces:
        kept.append(piece[:limit])
        limit -= len(kept[-1])
        if limit == 0:
            break
    return kept


async def _send(peer: Peer, pieces: Sequence[bytes], framing: Framing, whole: bool) -> None:
    for number, piece in enumerate(pieces):
        if framing is not Framing.CHUNKED:
            peer.write(piece)
        elif piece:
            framed = chunk(piece)
            is_cut = not whole and number == len(pieces) - 1
            peer.write(framed[:-2] if is_cut else framed)
        await peer.drain()
    if framing is Framing.CHUNKED and whole:
        peer.write(LAST_CHUNK)
