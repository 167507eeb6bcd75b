"""Anthropic's usage object. Cache reads and writes are apart from ``input_tokens``; ``input`` is their sum.

Where models were asked one after the other (``fallbacks``), the top-level counts are those of the one that answered,
the ``fallback_message`` among the iterations. One that declined before it said anything is billed only where it
declined for certain reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gateway.wire.counts import Count, Counts, plus
from gateway.wire.shapes import NOT_AS_EXPECTED, Short, text
from pricing.usage import Part, Usage

_INSIDE = ("message", None)
"""Iterations whose tokens are already in the top-level counts, unless another model made them."""
_BILLED = ("bio", "frontier_llm", "reasoning_extraction")
"""Categories of refusals that are billed although nothing had been said (since 2026-09-24, on every platform)."""
_ANSWER = "fallback_message"
"""The iteration of the model that was asked in another's place and answered: it is what the top level counts."""


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
            # the total is what is billed: what no split tells of lives as long as all that one tells of, if that is
            # one life, and counts as short-lived where there are two
            told = _long_lived(found, written, counts)
            if told is None:
                told = min(long or 0, written) if short else written if long else 0
            long = told
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


def _long_lived(found: Mapping[str, object], written: int, counts: Counts) -> int | None:
    """Cache writes that are kept for an hour, as the iterations tell that made up ``written``: a stream splits but
    those of the first up at the top. ``None`` where they do not add up either."""
    rows = counts.rows(found, "iterations")
    kinds = (_ANSWER,) if any(row.get("type") == _ANSWER for row in rows) else _INSIDE
    long = total = 0
    for row in rows:
        if row.get("type") in kinds:
            total += counts.take(row, "cache_creation_input_tokens") or 0
            long += counts.take(counts.part(row, "cache_creation"), "ephemeral_1h_input_tokens") or 0
    return long if rows and total == written and long <= written else None


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    short: Count = msgspec.field(name="ephemeral_5m_input_tokens", default=None)
    long: Count = msgspec.field(name="ephemeral_1h_input_tokens", default=None)


class Usual(msgspec.Struct, forbid_unknown_fields=True):
    """A usage object that says nothing beyond the usual, with what it tells of the answer. One that says more is not
    looked at: what has no field here would be skipped unread, sound or not."""

    uncached: Count = msgspec.field(name="input_tokens", default=None)
    output: Count = msgspec.field(name="output_tokens", default=None)
    read: Count = msgspec.field(name="cache_read_input_tokens", default=None)
    written: Count = msgspec.field(name="cache_creation_input_tokens", default=None)
    cache: _Written | None = msgspec.field(name="cache_creation", default=None)
    service_tier: Short | None = None
    speed: Short | None = None
    geo: Short | None = msgspec.field(name="inference_geo", default=None)
    tools: None = msgspec.field(name="server_tool_use", default=None)
    details: None = msgspec.field(name="output_tokens_details", default=None)
    iterations: None = None
    cost: None = None


_USUAL = msgspec.json.Decoder(Usual)


def usual_usage(raw: bytes) -> tuple[Usual, Usage] | None:
    """A usage object, and its normal form, if it is as nearly all are; ``None`` for every other."""
    try:
        told = _USUAL.decode(raw)
    except NOT_AS_EXPECTED:
        return None
    uncached, read, written, cache = told.uncached, told.read, told.written, told.cache
    if uncached is None or told.output is None:
        return None
    short, long = written, None
    if cache is not None:
        short, long = cache.short, cache.long
        if short is None or long is None or written != short + long:
            return None
    return told, Usage(uncached + (read or 0) + (written or 0), told.output, read, short, long)


def apart(
    found: Mapping[str, object], model: str | None, counts: Counts, declined: Sequence[str | None] = ()
) -> tuple[Part, ...]:
    """Usage of iterations that the top-level counts leave out: compaction passes of the same model, calls to
    another model (advisor), and what a model had said before it declined. Each is a request of its own to the price.

    ``declined``: why models declined, in their order.
    """
    extra: list[Part] = []
    hops: dict[str | None, int] = {}
    for row in counts.rows(found, "iterations"):
        kind = row.get("type")
        other = text(row.get("model"))
        if kind == _ANSWER or (kind in _INSIDE and (other is None or other == model)):
            continue
        usage = counts.accept(anthropic_usage(row, counts))
        if usage is not None and kind in _INSIDE:
            hop = hops.setdefault(other, len(hops))
            if not usage.output and (hop >= len(declined) or declined[hop] not in _BILLED):
                continue
        named = other or model
        if usage is not None and named is not None and (usage.input or usage.output):
            extra.append(Part(named, usage))
    return tuple(extra)


def answered_by(found: Mapping[str, object]) -> str | None:
    """The model that answered in the place of the one asked for; ``None`` where none did."""
    rows = found.get("iterations")
    for row in reversed(rows) if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("type") == _ANSWER:
            return text(row.get("model"))
    return None


def refused(usage: Usage, category: str | None) -> Usage:
    """Of an answer that was refused: the same, and free if nothing had been said, except in some categories."""
    if usage.output != 0 or category in _BILLED:
        return usage
    return msgspec.structs.replace(usage, billed_input=0, billed_output=0)
