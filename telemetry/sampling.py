"""Where a call's trace begins: which context it joins, and whether its spans are exported."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

from telemetry.propagation import (
    RemoteContext,
    new_span_id,
    new_trace_id,
    parse_traceparent,
    parse_tracestate,
)
from telemetry.record import Trace, trace_of

_LOW_64: Final = (1 << 64) - 1


class IncomingTrace(enum.StrEnum):
    """What to do with a caller's ``traceparent``."""

    PARENT = "parent"
    """Join it: our spans become children of the caller's."""
    LINK = "link"
    """Begin a trace of our own and link the caller's span (for callers that are not trusted)."""
    IGNORE = "ignore"


class Sampler(msgspec.Struct, frozen=True):
    """Decides at the head, as the SDK's samplers of the same names do.

    ``ratio`` is the share of root traces that is exported, 0 to 1. With ``parent_based`` a joined trace
    follows the caller's own decision.
    """

    ratio: float = 1.0
    parent_based: bool = True

    def decide(self, trace_id: int, parent: RemoteContext | None) -> bool:
        """True if the trace is to be exported."""
        if parent is not None and self.parent_based:
            return parent.sampled
        return trace_id & _LOW_64 < round(self.ratio * (_LOW_64 + 1))


def begin_trace(
    traceparent: bytes | None,
    tracestate: bytes | None = None,
    *,
    incoming: IncomingTrace = IncomingTrace.PARENT,
    sampler: Sampler = Sampler(),  # noqa: B008  (frozen)
) -> Trace:
    """The trace identity of a new call, with the ids of its SERVER and CLIENT span already drawn."""
    caller = parse_traceparent(traceparent) if traceparent and incoming is not IncomingTrace.IGNORE else None
    if caller is None:
        trace_id = new_trace_id()
        return trace_of(trace_id, new_span_id(), new_span_id(), 0, sampler.decide(trace_id, None))
    if incoming is IncomingTrace.LINK:
        trace_id = new_trace_id()
        sampled = sampler.decide(trace_id, None)
        return trace_of(
            trace_id, new_span_id(), new_span_id(), 0, sampled, None, caller.trace_id, caller.span_id
        )
    return trace_of(
        caller.trace_id,
        new_span_id(),
        new_span_id(),
        caller.span_id,
        sampler.decide(caller.trace_id, caller),
        parse_tracestate(tracestate) if tracestate else None,
    )
