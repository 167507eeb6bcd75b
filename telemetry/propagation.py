"""Trace context on the wire, without the SDK: W3C ``traceparent``, ``tracestate`` and ``baggage``.

These run once per call on the event loop, so they are written for speed: reading a ``traceparent`` costs
about a microsecond where the SDK's propagator costs three.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from random import getrandbits
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_TRACEPARENT = re.compile(rb"[ \t]*([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*|[ \t]*)")
_MAX_TRACEPARENT = 512
_STATE_MEMBER = re.compile(
    r"(?:[a-z][_0-9a-z\-*/]{0,255}|[a-z0-9][_0-9a-z\-*/]{0,240}@[a-z][_0-9a-z\-*/]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MAX_STATE_MEMBERS = 32
_MAX_STATE_BYTES = 8192
_MAX_BAGGAGE_BYTES = 8192
_MAX_BAGGAGE_MEMBERS = 180


class RemoteContext(NamedTuple):
    """The caller's span."""

    trace_id: int
    span_id: int
    sampled: bool


def new_trace_id() -> int:
    """Random non-zero 128-bit id. Python reseeds the generator in a forked child."""
    return getrandbits(128) or 1


def new_span_id() -> int:
    """Random non-zero 64-bit id."""
    return getrandbits(64) or 1


def parse_traceparent(value: bytes) -> RemoteContext | None:
    """The caller's span by the rules of W3C Trace Context level 1.

    ``None`` for anything malformed: upper-case digits, an id of zeros, version ``ff``, more than four fields
    in version ``00``. Later versions are read by their first four fields.
    """
    if len(value) > _MAX_TRACEPARENT:
        return None
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest[:1] == b"-"):
        return None
    trace_id = int(trace, 16)
    span_id = int(span, 16)
    if not trace_id or not span_id:
        return None
    return RemoteContext(trace_id, span_id, int(flags, 16) & 1 == 1)


def format_traceparent(trace_id: int, span_id: int, sampled: bool) -> bytes:
    """Version ``00`` header value."""
    return b"00-%032x-%016x-%02x" % (trace_id, span_id, sampled)


def parse_tracestate(value: bytes) -> str | None:
    """The state to carry on, normalised to ``key=value,key=value``; ``None`` if empty or against the rules.

    A state with a bad or doubled member, or with more than 32, is dropped as a whole; the trace is kept.
    """
    if not value or len(value) > _MAX_STATE_BYTES:
        return None
    members: dict[str, str] = {}
    for part in value.decode("latin-1").split(","):
        member = part.strip(" \t")
        if not member:
            continue
        key, _, _ = member.partition("=")
        if key in members or _STATE_MEMBER.fullmatch(member) is None:
            return None
        members[key] = member
    if not members or len(members) > _MAX_STATE_MEMBERS:
        return None
    return ",".join(members.values())


def parse_baggage(value: bytes, allowed: Collection[str]) -> dict[str, str]:
    """Members of a W3C ``baggage`` header whose key is ``allowed``; everything else is ignored.

    Properties (``;name=value``) are cut off and percent-escapes decoded. The first of a doubled key wins.
    A header over 8,192 bytes is not read at all; bad members are skipped.
    """
    found: dict[str, str] = {}
    if not allowed or len(value) > _MAX_BAGGAGE_BYTES:
        return found
    for member in value.split(b",")[:_MAX_BAGGAGE_MEMBERS]:
        key_bytes, equals, rest = member.partition(b"=")
        if not equals:
            continue
        key = key_bytes.strip(b" \t").decode("latin-1")
        if key not in allowed or key in found:
            continue
        text = unquote_to_bytes(rest.partition(b";")[0].strip(b" \t"))
        found[key] = text.decode("utf-8", "replace")
    return found
