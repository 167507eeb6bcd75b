"""One record as one row of ``model_requests``: the columns by hand, because this runs for every call.

A test holds :data:`COLUMNS` against the table and :func:`row` against the record's own fields.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from pricing.usage import Usage
from telemetry.record import CallRecord, Trace

DEFAULT_TENANT = "default"
"""Tenant of calls that name none: the column leads every index and is never null."""

USAGE_COLUMNS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "input_audio_tokens",
    "cache_audio_read": "cache_audio_read_tokens",
    "output_audio": "output_audio_tokens",
    "input_image": "input_image_tokens",
    "cache_image_read": "cache_image_read_tokens",
    "output_image": "output_image_tokens",
    "input_video": "input_video_tokens",
    "output_video": "output_video_tokens",
    "tool_input": "tool_input_tokens",
    "citation": "citation_tokens",
    "billed_input": "billed_input_tokens",
    "billed_output": "billed_output_tokens",
    "web_searches": "web_searches",
    "file_searches": "file_searches",
    "search_units": "search_units",
    "pages": "pages",
    "annotated_pages": "annotated_pages",
    "images": "images",
    "characters": "characters",
    "audio_ms": "audio_ms",
}
"""The column of each count in :class:`pricing.usage.Usage`."""

COLUMNS: tuple[str, ...] = (
    "id",
    "started_at",
    "tenant_id",
    "outcome",
    "team",
    "user_id",
    "project",
    "feature",
    "session_id",
    "environment",
    "agent",
    "parent_agent",
    "app",
    "key_id",
    "prompt_id",
    "prompt_version",
    "tags",
    "attribute_sources",
    "provider",
    "wire",
    "operation",
    "method",
    "path",
    "request_model",
    "stream",
    "max_tokens",
    "request_bytes",
    "server_address",
    "attempts",
    "attempt_reason",
    "route_policy",
    "route_reason",
    "route_confidence_ppm",
    "baseline_model",
    "experiment",
    "variant",
    "started_ns",
    "duration_us",
    "upstream_us",
    "first_byte_us",
    "first_chunk_us",
    "overhead_us",
    "dispatch_us",
    "http_status",
    "response_model",
    "response_id",
    "finish_reasons",
    "service_tier",
    "response_bytes",
    "error_type",
    "error_code",
    *USAGE_COLUMNS.values(),
    "usage_source",
    "usage_raw",
    "usage_also",
    "cost_status",
    "cost_source",
    "cost_nano",
    "cost_input_nano",
    "cost_output_nano",
    "cost_cache_read_nano",
    "cost_cache_write_nano",
    "cost_other_nano",
    "price_snapshot",
    "price_rule",
    "trace_id",
    "server_span_id",
    "client_span_id",
    "parent_span_id",
    "trace_sampled",
    "trace_state",
    "link_trace_id",
    "link_span_id",
)

Row = tuple[Any, ...]

_counts: Callable[[Usage], Row] = operator.attrgetter(*USAGE_COLUMNS)
_NO_USAGE = (None,) * len(USAGE_COLUMNS)
_NO_TRACE = (None,) * 8
_json = msgspec.json.Encoder().encode


class RowError(ValueError):
    """The record cannot be a row (its id is no UUIDv7, a time is out of range)."""


def started_ms(call_id: str) -> int:
    """Milliseconds since 1970 (UTC) inside a UUIDv7; raises :class:`RowError` for any other text.

    The partition key comes from here and from nowhere else: the same id always lands in the same partition,
    so that the primary key (id, started_at) is unique on the id alone.
    """
    try:
        if len(call_id) == 36 and call_id[8] == "-" and call_id[14] == "7":
            return int(call_id[:8] + call_id[9:13], 16)
    except ValueError:
        pass
    raise RowError("the call id is not a UUIDv7")


def as_datetime(ms: int) -> datetime:
    """The aware UTC time PostgreSQL takes; raises :class:`RowError` beyond the year 9999."""
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise RowError("the time within the call id is out of range") from error


def as_text(ms: int) -> str:
    """The same time as SQLite keeps it: ``2026-11-20 12:00:00.123000`` (UTC), which sorts as text."""
    return as_datetime(ms).isoformat(" ", "microseconds")[:26]


def row(record: CallRecord, time_of: Callable[[int], object]) -> Row:
    """The row of ``record`` in the order of :data:`COLUMNS`; ``time_of`` is :func:`as_text` or :func:`as_datetime`."""
    who, what, route, timing = record.who, record.what, record.route, record.timing
    answer, usage, cost = record.answer, record.usage, record.cost
    return (
        record.id,
        time_of(started_ms(record.id)),
        who.tenant or DEFAULT_TENANT,
        record.outcome.value,
        who.team,
        who.user,
        who.project,
        who.feature,
        who.session,
        who.environment,
        who.agent,
        who.parent_agent,
        who.app,
        who.key_id,
        who.prompt_id,
        who.prompt_version,
        _json(dict(who.tags)).decode() if who.tags else None,
        _json(dict(who.sources)).decode() if who.sources else None,
        what.provider,
        what.wire,
        what.operation,
        what.method,
        what.path,
        what.model,
        what.stream,
        what.max_tokens,
        what.request_bytes,
        route.host,
        route.attempts,
        route.attempt_reason,
        route.policy,
        route.reason,
        route.confidence_ppm,
        route.baseline_model,
        route.experiment,
        route.variant,
        timing.started_ns,
        timing.duration_us,
        timing.upstream_us,
        timing.first_byte_us,
        timing.first_chunk_us,
        timing.overhead_us,
        timing.dispatch_us,
        answer.status,
        answer.model,
        answer.response_id,
        _json(answer.finish_reasons).decode() if answer.finish_reasons else None,
        answer.service_tier,
        answer.response_bytes,
        answer.error_type,
        answer.error_code,
        *(_NO_USAGE if usage is None else _counts(usage)),
        record.usage_source.value,
        record.usage_raw,
        _json(_also(record)).decode() if record.also else None,
        cost.status.value,
        cost.source.value,
        cost.total,
        cost.input,
        cost.output,
        cost.cache_read,
        cost.cache_write,
        cost.other,
        cost.snapshot,
        cost.rule,
        *(_NO_TRACE if record.trace is None else _trace(record.trace)),
    )


def _also(record: CallRecord) -> list[dict[str, object]]:
    return [
        {"model": model}
        | {
            name: count
            for name, count in zip(usage.__struct_fields__, msgspec.structs.astuple(usage), strict=True)
            if count is not None
        }
        for model, usage in record.also
    ]


def _trace(trace: Trace) -> Row:
    parent = trace.parent_span_id
    return (
        f"{trace.trace_id:032x}",
        f"{trace.server_span_id:016x}",
        f"{trace.client_span_id:016x}",
        f"{parent:016x}" if parent else None,
        trace.sampled,
        trace.state,
        f"{trace.link_trace_id:032x}" if trace.link_trace_id else None,
        f"{trace.link_span_id:016x}" if trace.link_span_id else None,
    )
