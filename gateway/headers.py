"""Which headers pass, which stay here, which we look at. The one place that decides (README lists the result).

Everything works on raw bytes as they came: names keep their case and order, values are never re-encoded.
"""

from __future__ import annotations

import enum
import functools
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
    """Lower-cased name -> value of the headers we look at; the first of a name wins."""
    labels: dict[bytes, bytes]
    """The same of the headers that are addressed to us."""


class _Fate(enum.Enum):
    """What becomes of a request header."""

    FORWARD = enum.auto()
    FORWARD_SEEN = enum.auto()
    STAY_SEEN = enum.auto()
    LABEL = enum.auto()
    DROP = enum.auto()


def _fate(lower: bytes) -> _Fate:
    if lower.startswith(OURS):
        return _Fate.LABEL
    stays = lower in HOP_BY_HOP or lower in _FRAMING or lower in _TRACE
    if lower in _LOOKED_AT or lower in _TRACE:
        return _Fate.STAY_SEEN if stays else _Fate.FORWARD_SEEN
    return _Fate.DROP if stays else _Fate.FORWARD


@functools.lru_cache(maxsize=1024)
def _known(name: bytes) -> tuple[bytes, _Fate]:
    """Lower-cased name and fate of a header; apps send the same few names over and over."""
    lower = name.lower()
    return lower, _fate(lower)


def scan(headers: Iterable[tuple[bytes, bytes]]) -> Scan:
    """Split request headers into what passes and what we read.

    Names listed in ``Connection`` are hop-by-hop too and stay here, except the credentials: a client must not
    be able to strip its own credential with ``Connection: authorization``.
    """
    forward: list[tuple[bytes, bytes]] = []
    seen: dict[bytes, bytes] = {}
    labels: dict[bytes, bytes] = {}
    listed = b""
    for pair in headers:
        lower, fate = _known(pair[0])
        if fate is _Fate.FORWARD:
            forward.append(pair)
        elif fate is _Fate.FORWARD_SEEN:
            forward.append(pair)
            seen.setdefault(lower, pair[1])
        elif fate is _Fate.LABEL:
            labels.setdefault(lower, pair[1])
        elif fate is _Fate.STAY_SEEN:
            seen.setdefault(lower, pair[1])
            if lower == b"connection":
                listed += b"," + pair[1].lower()
    if listed:
        drop = {part.strip() for part in listed.split(b",")} - CREDENTIALS - {b"", b"close", b"keep-alive"}
        if drop:
            forward = [pair for pair in forward if pair[0].lower() not in drop]
    return Scan(forward, seen, labels)


@functools.lru_cache(maxsize=1024)
def passes_back(name: bytes) -> bool:
    """Does a response header of this name pass to the app? ``Connection`` may name further ones that do not."""
    return name.lower() not in HOP_BY_HOP


def request_bytes(
    method: str, target: bytes, host: bytes, headers: Iterable[tuple[bytes, bytes]], framing: bytes
) -> bytes:
    """Head of the request that goes upstream; ``framing`` is a whole header line or empty."""
    parts = [method.encode("ascii"), b" ", target, b" HTTP/1.1\r\nHost: ", host, b"\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (framing, b"\r\n")
    return b"".join(parts)
