"""Which headers pass, which stay here, which we look at. The one place that decides (README lists the result).

Everything works on raw bytes as they came: names keep their case and order, values are never re-encoded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"proxy-authorization")
)
"""RFC 9110 section 7.6.1. ``transfer-encoding`` is judged with the framing, ``trailer`` goes with it."""

OURS: Final = b"x-weighbridge-"
"""Every header of this prefix is addressed to us and never goes upstream."""

_TRACE: Final = frozenset((b"traceparent", b"tracestate", b"baggage"))
_FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_LOOKED_AT: Final = frozenset(
    (
        b"authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"content-type",
        b"content-encoding",
        b"accept-encoding",
        b"user-agent",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"host",
        b"upgrade",
        b"http-referer",
        b"x-title",
    )
)

CREDENTIALS: Final = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"))


class Scan(msgspec.Struct, frozen=True, gc=False):
    """One pass over a request's headers."""

    forward: list[tuple[bytes, bytes]]
    """What goes upstream, as it came."""
    seen: dict[bytes, bytes]
    """Lower-cased name -> value of the headers we look at or that are addressed to us; the first of a name wins."""


def scan(headers: Iterable[tuple[bytes, bytes]]) -> Scan:
    """Split request headers into what passes and what we read.

    Names listed in ``Connection`` are hop-by-hop too and stay here, except the credentials: a client must not
    be able to strip its own credential with ``Connection: authorization``.
    """
    forward: list[tuple[bytes, bytes]] = []
    seen: dict[bytes, bytes] = {}
    listed = b""
    for pair in headers:
        name = pair[0].lower()
        if name in _LOOKED_AT:
            seen.setdefault(name, pair[1])
            if name in HOP_BY_HOP:
                if name == b"connection":
                    listed += b"," + pair[1].lower()
                continue
            if name in _FRAMING:
                continue
        elif name.startswith(OURS) or name in _TRACE:
            seen.setdefault(name, pair[1])
            continue
        elif name in HOP_BY_HOP or name in _FRAMING:
            continue
        forward.append(pair)
    if listed:
        drop = {part.strip() for part in listed.split(b",")} - CREDENTIALS - {b"", b"close", b"keep-alive"}
        if drop:
            forward = [pair for pair in forward if pair[0].lower() not in drop]
    return Scan(forward, seen)


def request_bytes(
    method: str, target: bytes, host: bytes, headers: Iterable[tuple[bytes, bytes]], framing: bytes
) -> bytes:
    """Head of the request that goes upstream; ``framing`` is a whole header line or empty."""
    parts = [method.encode("ascii"), b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (framing, b"\r\n")
    return b"".join(parts)
