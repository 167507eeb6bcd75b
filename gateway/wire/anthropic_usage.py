"""Anthropic's usage object. Cache reads and writes are apart from ``input_tokens``; ``input`` is their sum."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.wire.counts import Counts, plus
from gateway.wire.shapes import text
from pricing.usage import Usage

_INSIDE = ("message", None)
"""Iterations whose tokens are already in the top-level counts."""


def anthropic_usage(found: Mapping[str, object], counts: Counts) -> Usage:
    """Normal form of one usage object (or of one entry of ``usage.iterations``)."""
    uncached = counts.take(found, "input_tokens")
    read = counts.take(found, "cache_read_input_tokens")
    written = counts.take(found, "cache_creation_input_tokens")
    split = counts.part(found, "cache_creation")
    short, long = written, None
    if split:
        short = counts.take(split, "ephemeral_5m_input_tokens")
        long = counts.take(split, "ephemeral_1h_input_tokens")
        if written is None:
            written = plus(short, long)
        elif (short or 0) + (long or 0) != written:
            # the total is what is billed: what the split leaves out counts as short-lived
            long = min(long or 0, written)
            short = written - long
    tools = counts.part(found, "server_tool_use")
    output_details = counts.part(found, "output_tokens_details")
    return Usage(
        plus(uncached, read, written),
        counts.take(found, "output_tokens"),
        read,
        short,
        long,
        counts.take(output_details, "thinking_tokens", "reasoning_tokens"),
        web_searches=counts.take(tools, "web_search_requests") or None,
    )


def apart(found: Mapping[str, object], model: str | None, counts: Counts) -> tuple[tuple[str, Usage], ...]:
    """Usage of iterations that the top-level counts leave out: compaction passes of the same model, and calls
    to another model (advisor). Each is a request of its own to the price."""
    extra: list[tuple[str, Usage]] = []
    for row in counts.rows(found, "iterations"):
        kind = row.get("type")
        other = text(row.get("model"))
        if kind in _INSIDE and (other is None or other == model):
            continue
        usage = counts.accept(anthropic_usage(row, counts))
        named = other or model
        if usage is not None and named is not None and (usage.input or usage.output):
            extra.append((named, usage))
    return tuple(extra[:16])
