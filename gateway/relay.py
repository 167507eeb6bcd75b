"""How an answer's bytes reach the app: the head with our headers added, and the framing.

The body goes out as it came, transfer framing included (``RAW``); it is re-framed only for an HTTP/1.0 app
(``PLAIN``) and where a chunk has to be kept from the app (``CHUNKED``).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from gateway.headers import NOTHING, AnswerHead, name_of, without_hops
from gateway.wire.usage_injection import UsageFilter

LAST_CHUNK = b"0\r\n\r\n"


class Framing(enum.Enum):
    RAW = "raw"
    PLAIN = "plain"
    CHUNKED = "chunked"


RAW: Final = Framing.RAW
_REFRAMED: Final = {
    Framing.RAW: NOTHING,
    Framing.PLAIN: frozenset((b"transfer-encoding", b"trailer")),
    Framing.CHUNKED: frozenset((b"transfer-encoding", b"trailer", b"content-length")),
}
_STATUS_LINE: Final = b"HTTP/1.1 "


def response_head(head: AnswerHead, framing: Framing, extra: bytes, *, close: bool) -> bytes:
    """Status line and headers for the app.

    Hop-by-hop headers (also those named by ``Connection``) stay here; everything else keeps its bytes and
    order. ``extra`` is appended: whole header lines, each ended by CRLF.
    """
    raw = head.raw
    if framing is RAW and not close and raw.startswith(_STATUS_LINE):
        passing = raw if not head.strip else without_hops(head)
        if passing is not None:
            return passing[:-2] + extra + b"\r\n"
    return _line_by_line(head, framing, extra, close=close)


def _line_by_line(head: AnswerHead, framing: Framing, extra: bytes, *, close: bool) -> bytes:
    raw = head.raw
    unwanted = _REFRAMED[framing] | head.strip
    status, *lines = raw[:-4].split(b"\r\n")
    parts = [_STATUS_LINE + status.partition(b" ")[2]]
    parts += [line for line in lines if name_of(line) not in unwanted]
    if framing is Framing.CHUNKED:
        parts.append(b"Transfer-Encoding: chunked")
    if close:
        parts.append(b"Connection: close")
    return b"%b\r\n%b\r\n" % (b"\r\n".join(parts), extra)


def own_lines(call_id: str, notes: bytes, cost_lines: bytes) -> bytes:
    """The header lines that we add: which call it is, and whole lines of what is told about it."""
    return b"x-weighbridge-request-id: %b\r\n%b%b" % (call_id.encode("ascii"), notes, cost_lines)


def chunk(data: bytes) -> bytes:
    """One chunk of chunked transfer coding; nothing for no data (an empty chunk would end the body)."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def framed(framing: Framing, pieces: Sequence[bytes], complete: bool, hiding: UsageFilter | None) -> bytes:
    """Body bytes of one read as they go to the app, framed anew."""
    body = b"".join(pieces)
    if hiding is not None:
        body = hiding.feed(body)
        if complete:
            body += hiding.end()
    if framing is Framing.PLAIN:
        return body
    return chunk(body) + (LAST_CHUNK if complete else b"")


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
