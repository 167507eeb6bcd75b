"""Which headers pass, which stay here, which we look at. The one place that decides (README lists the result).

Everything works on raw bytes as they came: names keep their case and order, values are never re-encoded.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from gateway import aliases, price_headers

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

NOTHING: Final = frozenset[bytes]()
_NEVER_LISTED: Final = frozenset((b"close", b"keep-alive", b"transfer-encoding", b"content-length", b""))

CREDENTIALS_ORDER: Final = (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key")
CREDENTIALS: Final = frozenset(CREDENTIALS_ORDER)


class MalformedHeader(ValueError):  # noqa: N818 - what it is, not what went wrong with us
    """A header line that no HTTP parser should have let through."""


class Scan(msgspec.Struct, frozen=True, gc=False):
    """One pass over a request's headers."""

    forward: list[bytes]
    """The lines that go upstream, byte for byte as they came, without the line end."""
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
    ALIAS = enum.auto()
    """Speaks of the call in another gateway's words: read, and passed on where that family is switched off."""
    DROP = enum.auto()


# Bound once: reading a member off its class costs as much as a function call.
_FORWARD: Final = _Fate.FORWARD
_FORWARD_SEEN: Final = _Fate.FORWARD_SEEN
_STAY_SEEN: Final = _Fate.STAY_SEEN
_LABEL: Final = _Fate.LABEL
_ALIAS: Final = _Fate.ALIAS


def _fate(lower: bytes) -> _Fate:
    if lower.startswith(OURS) or lower in price_headers.NAMES:
        return _Fate.LABEL
    if aliases.is_alias(lower):
        return _Fate.ALIAS
    stays = lower in HOP_BY_HOP or lower in _FRAMING or lower in _TRACE
    if lower in _LOOKED_AT or lower in _TRACE:
        return _Fate.STAY_SEEN if stays else _Fate.FORWARD_SEEN
    return _Fate.DROP if stays else _Fate.FORWARD


def _judge(line: bytes) -> tuple[_Fate, bytes, bytes]:
    """Fate, lower-cased name and value of a header line. Raises :class:`MalformedHeader`."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name[-1:] in b" \t" or b"\r" in line or b"\n" in line:
        raise MalformedHeader
    lower = name.lower()
    return _fate(lower), lower, value.strip(b" \t")


_known: Final = functools.lru_cache(maxsize=2048)(_judge)
"""Apps send the same few lines over and over."""
_REMEMBERED_BYTES: Final = 512
"""Longer lines are judged anew each time: remembered, they would let anybody fill our memory."""


def scan(lines: Iterable[bytes]) -> Scan:
    """Split request headers into what passes and what we read. Raises :class:`MalformedHeader`.

    Names listed in ``Connection`` are hop-by-hop too and stay here, except the credentials: a client must not
    be able to strip its own credential with ``Connection: authorization``.
    """
    forward: list[bytes] = []
    seen: dict[bytes, bytes] = {}
    labels: dict[bytes, bytes] = {}
    listed = b""
    for line in lines:
        fate, lower, value = _known(line) if len(line) < _REMEMBERED_BYTES else _judge(line)
        if fate is _FORWARD:
            forward.append(line)
        elif fate is _FORWARD_SEEN:
            forward.append(line)
            if lower not in seen:
                seen[lower] = value
        elif fate is _ALIAS:
            forward.append(line)
            if lower not in labels:
                labels[lower] = value
        elif fate is _LABEL:
            if lower not in labels:
                labels[lower] = value
        elif fate is _STAY_SEEN:
            if lower not in seen:
                seen[lower] = value
            if lower == b"connection":
                listed += b"," + value.lower()
    if listed:
        drop = {part.strip() for part in listed.split(b",")} - CREDENTIALS - {b"", b"close", b"keep-alive"}
        if drop:
            forward = [line for line in forward if name_of(line) not in drop]
    return Scan(forward, seen, labels)


def name_of(line: bytes) -> bytes:
    """Lower-cased name of a header line."""
    return line.partition(b":")[0].lower()


def request_opening(method: bytes, target: bytes, host: bytes, lines: Iterable[bytes]) -> bytes:
    """A request head as it goes upstream, as far as the framing: the line of the body's length is still to come."""
    start = b"%b %b HTTP/1.1\r\nHost: %b" % (method, target, host)
    return b"%b\r\n" % b"\r\n".join([start, *lines])


def upgrading(opening: bytes) -> bytes:
    """The same, asking for a WebSocket without extensions: messages then come uncompressed."""
    lines = [line for line in opening.split(b"\r\n") if name_of(line) != b"sec-websocket-extensions"]
    return b"\r\n".join([*lines[:-1], b"Connection: Upgrade", b"Upgrade: websocket", b""])


def uncompressed(opening: bytes) -> bytes:
    """The same, asking for an answer without compression."""
    lines = opening.split(b"\r\n")
    kept = [line for line in lines if name_of(line) != b"accept-encoding"]
    kept.insert(-1, b"Accept-Encoding: identity")
    return b"\r\n".join(kept)


# ---- answers

TOLD: Final = frozenset(
    b"content-type content-encoding content-length transfer-encoding connection keep-alive proxy-connection te upgrade"
    b" proxy-authorization".split()
)
"""Names of the headers of an answer that anything is made of."""
# The look at the first letter spares most lines the ten comparisons.
_TOLD: Final = re.compile(
    rb"\r\n(?=[%b])(%b)[ \t]*:[ \t]*([^\r]*)" % (bytes({name[0] for name in TOLD}), b"|".join(sorted(TOLD))),
    re.IGNORECASE,
)

_MEDIA_TYPES: Final = {
    name.encode("ascii"): name
    for name in (
        "application/json",
        "application/json; charset=utf-8",
        "text/event-stream",
        "text/event-stream; charset=utf-8",
    )
}
"""As providers write them, nearly always."""


_ALONE: Final = {
    (b"connection", value): frozenset((b"connection",)) for value in (b"keep-alive", b"Keep-Alive", b"close")
}
"""Lines that nearly every provider writes, and that name no other."""


class AnswerHead(msgspec.Struct, frozen=True, gc=False):
    """Head of an answer as it was read: ``raw`` ends with the empty line.

    Nearly everything passes as it stands, so it is looked into only as far as somebody asks.
    """

    raw: bytes
    content_type: str = ""
    """Lower-cased."""
    content_encoding: str = ""
    """Lower-cased."""
    content_length: int | None = None
    chunked: bool = False
    strip: frozenset[bytes] = NOTHING
    """Names of hop-by-hop headers in it (also those its ``Connection`` names): they stay here."""
    hops: tuple[bytes, ...] = ()
    """Where ``strip`` names no other lines: these lines, as providers write them."""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of lower-cased name and value."""
        for line in self.raw[:-4].split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            yield name.lower(), value.strip(b" \t")


def answer_head(raw: bytes) -> AnswerHead:
    """Look at the few headers that matter; ``raw`` was found well-formed by the parser."""
    content_type = content_encoding = ""
    content_length, chunked, strip = None, False, NOTHING
    hops: list[bytes] = []
    for name, value in _TOLD.findall(raw):
        lower = name.lower()
        if lower == b"content-type":
            content_type = _MEDIA_TYPES.get(value) or value.decode("latin-1").lower()
        elif lower == b"content-length":
            content_length = int(value)
        elif lower == b"transfer-encoding":
            chunked = value.lower().rstrip().endswith(b"chunked")
        elif lower == b"content-encoding":
            content_encoding = value.decode("latin-1").strip().lower()
        else:
            names = _ALONE.get((lower, value)) or _hop_by_hop(lower, value)
            strip = strip | names if strip else names
            hops.append(b"\r\n%b: %b\r\n" % (name, value))
    lines = tuple(hops) if strip <= HOP_BY_HOP else ()
    return AnswerHead(raw, content_type, content_encoding, content_length, chunked, strip, lines)


def without_hops(head: AnswerHead) -> bytes | None:
    """The head as it came, but for the lines that stay here; ``None`` where it takes a look at each line."""
    raw = head.raw
    if head.strip and not head.hops:
        return None
    for line in head.hops:
        at = raw.find(line)
        if at < 0:  # other spaces
            return None
        raw = raw[:at] + raw[at + len(line) - 2 :]
    return raw


def _hop_by_hop(lower: bytes, value: bytes) -> frozenset[bytes]:
    if lower != b"connection":
        return frozenset((lower,))
    return frozenset(part.strip() for part in value.lower().split(b",")) - _NEVER_LISTED | {lower}
