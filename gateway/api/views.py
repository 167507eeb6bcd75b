"""From a stored row to what the API shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.api.models import (
    AnswerOut,
    CallOut,
    CallUsageOut,
    CostOut,
    MoneyOut,
    RepricedOut,
    RouteOut,
    TimingOut,
    TraceOut,
    WhatOut,
    WhoOut,
)
from pricing.cost import Cost, format_usd
from pricing.units import COMPONENTS
from pricing.usage import Usage
from storage.rows import COLUMNS
from storage.tables import CallRow

USAGE_COLUMNS: Final = {
    field: f"{field}_tokens" if f"{field}_tokens" in COLUMNS else field for field in Usage.__struct_fields__
}
"""Field of ``Usage`` -> column."""


def money(nano: int | None) -> MoneyOut:
    """An amount in both forms."""
    return MoneyOut(usd=None if nano is None else format_usd(nano), nano_usd=nano)


def moment(ns: int) -> str:
    """UTC nanoseconds since 1970 as ISO 8601 with microseconds: ``2026-11-20T12:00:00.123456Z``."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def usage_of(row: CallRow) -> Usage:
    """The counts of a row."""
    return Usage(**{field: getattr(row, column) for field, column in USAGE_COLUMNS.items()})


def counts_of(usage: Usage) -> dict[str, int]:
    """Only the counts that were reported."""
    fields = ((name, getattr(usage, name)) for name in usage.__struct_fields__)
    return {name: count for name, count in fields if count is not None}


def cost_out(cost: Cost) -> CostOut:
    """A cost as the API shows it."""
    return CostOut(
        status=cost.status.value,
        source=cost.source.value,
        total=money(cost.total),
        components={name: money(getattr(cost, name)) for name in COMPONENTS},
        snapshot=cost.snapshot,
        rule=cost.rule,
    )


def recorded_cost(row: CallRow) -> CostOut:
    """The cost as it was recorded."""
    return CostOut(
        status=row.cost_status,
        source=row.cost_source,
        total=money(row.cost_nano),
        components={name: money(getattr(row, f"cost_{name}_nano")) for name in COMPONENTS},
        snapshot=row.price_snapshot,
        rule=row.price_rule,
        repriced=_repriced(row),
    )


def _repriced(row: CallRow) -> RepricedOut | None:
    if row.repriced_status is None:
        return None
    return RepricedOut(
        status=row.repriced_status,
        total=money(row.repriced_nano),
        snapshot=row.repriced_snapshot,
        rule=row.repriced_rule,
    )


def call_out(row: CallRow) -> CallOut:
    """The whole record."""
    return CallOut(
        id=str(row.id),
        started_at=moment(row.started_ns),
        outcome=row.outcome,
        who=_who(row),
        what=WhatOut(
            provider=row.provider,
            wire=row.wire,
            operation=row.operation,
            method=row.method,
            path=row.path,
            model=row.request_model,
            stream=row.stream,
            max_tokens=row.max_tokens,
            request_bytes=row.request_bytes,
        ),
        route=RouteOut(
            host=row.server_address,
            attempts=row.attempts,
            attempt_reason=row.attempt_reason,
            policy=row.route_policy,
            reason=row.route_reason,
            confidence_ppm=row.route_confidence_ppm,
            baseline_model=row.baseline_model,
            baseline_cost=None if row.baseline_nano is None else money(row.baseline_nano),
            saving=None if row.baseline_nano is None else money(row.baseline_nano - (row.cost_nano or 0)),
            experiment=row.experiment,
            variant=row.variant,
        ),
        timing=TimingOut(
            duration_us=row.duration_us,
            upstream_us=row.upstream_us,
            first_byte_us=row.first_byte_us,
            first_chunk_us=row.first_chunk_us,
            overhead_us=row.overhead_us,
        ),
        answer=AnswerOut(
            status=row.http_status,
            model=row.response_model,
            response_id=row.response_id,
            finish_reasons=row.finish_reasons or [],
            service_tier=row.service_tier,
            response_bytes=row.response_bytes,
            error_type=row.error_type,
            error_code=row.error_code,
        ),
        usage=CallUsageOut(
            source=row.usage_source,
            counts=counts_of(usage_of(row)),
            reported=row.usage_raw,
            also=row.usage_also or [],
        ),
        cost=recorded_cost(row),
        trace=_trace(row),
    )


def _who(row: CallRow) -> WhoOut:
    return WhoOut(
        tenant=row.tenant_id,
        team=row.team,
        user=row.user_id,
        project=row.project,
        feature=row.feature,
        session=row.session_id,
        environment=row.environment,
        agent=row.agent,
        parent_agent=row.parent_agent,
        app=row.app,
        key_id=row.key_id,
        prompt_id=row.prompt_id,
        prompt_version=row.prompt_version,
        tags=row.tags or {},
        sources=row.attribute_sources or {},
    )


def _trace(row: CallRow) -> TraceOut | None:
    if row.trace_id is None:
        return None
    return TraceOut(
        trace_id=row.trace_id,
        server_span_id=row.server_span_id,
        client_span_id=row.client_span_id,
        parent_span_id=row.parent_span_id,
        sampled=row.trace_sampled,
    )
