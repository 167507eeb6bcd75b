"""The record of one call: a few small frozen parts.

Records are spooled as MessagePack arrays, so a field's position is its identity: new fields go to the end
of their part with a default, nothing is removed or reordered. ``SPOOL_FORMAT`` changes only when that
rule has to be broken.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from pricing.cost import Cost
from pricing.usage import Part, Usage
from telemetry.outcome import Outcome

SPOOL_FORMAT = 1
FREE_METHODS: Final = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))
"""Listings, polls and deletions: what they ask of a provider is not work. (A WebSocket begins with a GET, and is.)"""


class UsageSource(enum.StrEnum):
    """Who counted."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    """We counted; always marked."""
    NONE = "none"


class Who(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """For whom the call was made. ``sources`` names, for each attribute that is set, who said so."""

    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    project: str | None = None
    feature: str | None = None
    session: str | None = None
    environment: str | None = None
    agent: str | None = None
    parent_agent: str | None = None
    app: str | None = None
    key_id: str | None = None
    prompt_id: str | None = None
    prompt_version: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    """Pairs of attribute name and ``key`` | ``header`` | ``baggage`` | ``body``."""


class What(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What was asked."""

    provider: str
    wire: str | None
    """Name of the wire format; ``None`` when the path is not one we read."""
    operation: str | None
    """OpenTelemetry ``gen_ai.operation.name``."""
    method: str
    path: str
    """Path sent to the provider, without the query (it may carry a key)."""
    model: str | None
    stream: bool
    max_tokens: int | None
    request_bytes: int


class Route(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where it went and why."""

    host: str | None = None
    """``host`` or ``host:port`` of the provider that was called; ``None`` if none was."""
    attempts: int = 0
    attempt_reason: str | None = None
    """Why there was more than one attempt (``stale_connection``)."""
    policy: str | None = None
    reason: str | None = None
    confidence_ppm: int | None = None
    """Confidence of the app's router in parts per million."""
    baseline_model: str | None = None
    experiment: str | None = None
    variant: str | None = None


class Timing(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """``started_ns`` is UTC in nanoseconds since 1970; durations are microseconds of a monotonic clock."""

    started_ns: int
    duration_us: int = 0
    """From the complete request head to the last byte handed to the app."""
    upstream_us: int | None = None
    """From dispatch to the provider's last byte."""
    first_byte_us: int | None = None
    """From the start to the provider's response head."""
    first_chunk_us: int | None = None
    """From the start to the first byte of the response body."""
    overhead_us: int = 0
    """Our own share of ``duration_us``."""
    dispatch_us: int | None = None
    """From the start to the moment the request was handed to the provider's connection."""


class Answer(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What came back."""

    status: int | None = None
    """HTTP status the app saw; ``None`` if it saw none."""
    model: str | None = None
    response_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    service_tier: str | None = None
    response_bytes: int = 0
    error_type: str | None = None
    """OpenTelemetry ``error.type``."""
    error_code: str | None = None
    """The provider's own error code or type."""


class Trace(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """W3C trace identity, as integers. ``parent_span_id`` 0: this call began the trace.

    Trace ids lie here in halves, because MessagePack has no integer of 128 bits; :func:`trace_of` takes whole ones.
    """

    trace_id_low: int = 0
    server_span_id: int = 0
    client_span_id: int = 0
    parent_span_id: int = 0
    sampled: bool = True
    state: str | None = None
    """Incoming ``tracestate``."""
    link_trace_id_low: int = 0
    """The caller's span where its context was linked, not joined (``incoming_trace = "link"``); else 0."""
    link_span_id: int = 0
    trace_id_high: int = 0
    link_trace_id_high: int = 0

    @property
    def trace_id(self) -> int:
        return self.trace_id_high << 64 | self.trace_id_low

    @property
    def link_trace_id(self) -> int:
        return self.link_trace_id_high << 64 | self.link_trace_id_low


_LOW: Final = (1 << 64) - 1


def trace_of(
    trace_id: int,
    server_span_id: int,
    client_span_id: int,
    parent_span_id: int = 0,
    sampled: bool = True,
    state: str | None = None,
    link_trace_id: int = 0,
    link_span_id: int = 0,
) -> Trace:
    """A :class:`Trace` of whole ids, each of 128 bits or 64."""
    return Trace(
        trace_id & _LOW,
        server_span_id,
        client_span_id,
        parent_span_id,
        sampled,
        state,
        link_trace_id & _LOW,
        link_span_id,
        trace_id >> 64,
        link_trace_id >> 64,
    )


class CallRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Everything that is kept of one call. Holds no prompt, no answer, no key."""

    id: str
    """UUIDv7 of our own making, canonical text."""
    outcome: Outcome
    who: Who
    what: What
    route: Route
    timing: Timing
    answer: Answer
    usage: Usage | None
    usage_source: UsageSource
    cost: Cost
    trace: Trace | None = None
    usage_raw: bytes | None = None
    """The usage object as the provider sent it (JSON, bounded)."""
    also: tuple[Part, ...] = ()
    """Usage with a price of its own within this call (other models, as Anthropic's advisors; other tiers of service)."""
    baseline_nano: int | None = None
    """Nano-USD the same usage would have cost on ``route.baseline_model``; ``None``: not known, or no such model."""
    fees_unseen: bool = False
    """Something was charged for that no count tells of: whatever the prices, the cost is a lower bound."""


encode: Final = msgspec.msgpack.Encoder().encode
"""MessagePack of one record. Raises ``UnicodeEncodeError`` (lone surrogates) and ``OverflowError`` (integers beyond 64 bits)."""
decode: Final = msgspec.msgpack.Decoder(CallRecord).decode
"""The record again; raises ``msgspec.DecodeError`` or ``msgspec.ValidationError`` on damage."""
