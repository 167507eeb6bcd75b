"""How an answer's bytes reach the app: the head with our headers added, and the framing.

The body goes out as it came, transfer framing included (``RAW``); it is re-framed only for an HTTP/1.0 app
(``PLAIN``) and where a chunk has to be kept from the app (``CHUNKED``).
"""

from __future__ import annotations

import enum
from http import HTTPStatus
from typing import Final

from gateway.headers import passes_back
from gateway.upstream import Connection

LAST_CHUNK = b"0\r\n\r\n"


class Framing(enum.Enum):
    RAW = "raw"
    PLAIN = "plain"
    CHUNKED = "chunked"


_REFRAMED: Final = {
    Framing.RAW: frozenset[bytes](),
    Framing.PLAIN: frozenset((b"transfer-encoding", b"trailer")),
    Framing.CHUNKED: frozenset((b"transfer-encoding", b"trailer", b"content-length")),
}


def response_head(connection: Connection, framing: Framing, extra: bytes, *, close: bool) -> bytes:
    """Status line and headers for the app.

    Hop-by-hop headers (also those named by ``Connection``) stay here; everything else keeps its bytes and
    order. ``extra`` is appended: whole header lines, each ended by CRLF.
    """
    parts = [b"HTTP/1.1 %d %b\r\n" % (connection.status, connection.reason)]
    for name, value in connection.headers:
        if passes_back(name):
            parts.append(b"%b: %b\r\n" % (name, value))
    unwanted = _REFRAMED[framing] | connection.listed
    if unwanted:
        parts[1:] = [line for line in parts[1:] if line.partition(b":")[0].lower() not in unwanted]
    if framing is Framing.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        parts.append(b"Connection: close\r\n")
    parts += (extra, b"\r\n")
    return b"".join(parts)


def chunk(data: bytes) -> bytes:
    """One chunk of chunked transfer coding; nothing for no data (an empty chunk would end the body)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def own_response(status: int, body: bytes, extra: bytes, *, close: bool) -> bytes:
    """A whole JSON response of our own."""
    reason = (
        HTTPStatus(status).phrase.encode("ascii") if status in HTTPStatus._value2member_map_ else b"Error"
    )
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b%b\r\n%b" % (
        status,
        reason,
        len(body),
        b"Connection: close\r\n" if close else b"",
        extra,
        body,
    )
