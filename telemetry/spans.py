"""What a finished call looks like as a trace: record in, spans out. Pure, and free of the SDK.

    caller's span -> SERVER ``POST /v1/chat/completions`` -> CLIENT ``chat gpt-4o-mini``

The SERVER span is the app's view of the gateway, the CLIENT span our view of the provider. A call that never
reached a provider has no CLIENT span. Ids are those drawn when the call began (``record.trace``), so what was
propagated is what is exported. Spans carry no prompt, no answer and no key: the record has none.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from pricing.cost import NANO_PER_USD, Cost, CostSource, CostStatus
from telemetry import names
from telemetry.failure import error_type, server_error_type, was_cut
from telemetry.outcome import Outcome
from telemetry.protobuf import AttributeValue
from telemetry.record import CallRecord, Trace, UsageSource

Attributes = dict[str, AttributeValue]


class SpanKind(enum.IntEnum):
    """Numbers of OTLP's ``Span.SpanKind``."""

    SERVER = 2
    CLIENT = 3


class UserIds(enum.StrEnum):
    """How the end user appears on spans."""

    PLAIN = "plain"
    HASH = "hash"
    OFF = "off"


class CostStyle(enum.StrEnum):
    """Names under which backends read a span's cost, beside our own."""

    GEN_AI = "gen_ai"
    """``gen_ai.usage.cost``."""
    MLFLOW = "mlflow"
    OPENINFERENCE = "openinference"


class SpanStyle(msgspec.Struct, frozen=True):
    """What the operator chose about spans."""

    cost: frozenset[CostStyle] = frozenset({CostStyle.GEN_AI})
    user_ids: UserIds = UserIds.PLAIN
    user_hash_key: str = ""
    """Key of the hash; without one, hashed ids can be guessed by trying."""
    provider_names: Mapping[str, str] = names.PROVIDER_NAMES
    """Our provider name -> ``gen_ai.provider.name``."""
    url_scheme: str = "http"
    """Scheme under which apps reach the gateway."""

    def __repr__(self) -> str:
        return f"SpanStyle(cost={sorted(self.cost)}, user_ids={self.user_ids.value}, user_hash_key=***)"


class SpanData(msgspec.Struct, frozen=True, gc=False):
    """One span, as an exporter needs it. Times are UTC nanoseconds."""

    name: str
    kind: SpanKind
    trace_id: int
    span_id: int
    parent_span_id: int
    parent_is_remote: bool
    state: str | None
    start_ns: int
    end_ns: int
    attributes: Attributes
    failed: bool
    """Status ERROR; otherwise the status stays unset, as the conventions ask of success."""
    link: tuple[int, int] | None = None
    """Trace and span id of a linked span."""


def spans_of(record: CallRecord, style: SpanStyle) -> tuple[SpanData, ...]:
    """The spans of one call: SERVER, and CLIENT if a provider was called; none if not sampled."""
    trace = record.trace
    if trace is None or not trace.sampled or not trace.trace_id:
        return ()
    server = _server_span(record, trace, style)
    if record.route.host is None:
        return (server,)
    return server, _client_span(record, trace, style)


def route_of(record: CallRecord) -> str | None:
    """Path template with the model taken out (``/v1beta/models/{model}:generateContent``).

    ``None`` for paths that are not of a wire we read: they may hold ids without end.
    """
    what = record.what
    if what.wire is None:
        return None
    model = what.model
    if model and model in what.path:
        return what.path.replace(model, "{model}")
    return what.path


def client_window(record: CallRecord) -> tuple[int, int]:
    """Begin and end of the provider's part, microseconds from the start of the call."""
    timing = record.timing
    begin = timing.dispatch_us or 0
    if timing.upstream_us is None:
        return begin, max(begin, timing.duration_us)
    return begin, begin + timing.upstream_us


def first_chunk_seconds(record: CallRecord) -> float | None:
    """Seconds from dispatch to the first byte of a streamed answer; ``None`` where nothing was streamed."""
    first = record.timing.first_chunk_us
    if first is None or not record.what.stream:
        return None
    return max(0, first - (record.timing.dispatch_us or 0)) / 1e6


def split_host(host: str) -> tuple[str, int]:
    """``host`` or ``host:port`` (brackets around IPv6) as address and port; without a port it is HTTPS's."""
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        port = rest.removeprefix(":")
    else:
        address, _, port = host.partition(":")
    return address, int(port) if port.isdecimal() else 443


def _server_span(record: CallRecord, trace: Trace, style: SpanStyle) -> SpanData:
    what, timing, answer = record.what, record.timing, record.answer
    route = route_of(record)
    failure = server_error_type(record)
    attributes: Attributes = {
        names.HTTP_REQUEST_METHOD: what.method,
        names.URL_PATH: what.path,
        names.URL_SCHEME: style.url_scheme,
        names.REQUEST_ID: record.id,
        names.OUTCOME: record.outcome.value,
        names.ATTEMPTS: record.route.attempts,
        names.ROUTE_DECISION: "blocked" if record.outcome is Outcome.REFUSED else "primary",
        names.OVERHEAD: timing.overhead_us / 1e6,
    }
    if route is not None:
        attributes[names.HTTP_ROUTE] = route
    if answer.status is not None:
        attributes[names.HTTP_RESPONSE_STATUS_CODE] = answer.status
    if failure is not None:
        attributes[names.ERROR_TYPE] = failure
    if what.model is not None:
        attributes[names.ASKED_MODEL] = what.model
    _put_who(attributes, record, style)
    _put_owner(attributes, record)
    _put_route(attributes, record)
    return SpanData(
        f"{what.method} {route}" if route is not None else what.method,
        SpanKind.SERVER,
        trace.trace_id,
        trace.server_span_id,
        trace.parent_span_id,
        trace.parent_span_id != 0,
        trace.state,
        timing.started_ns,
        timing.started_ns + timing.duration_us * 1000,
        attributes,
        failure is not None,
        (trace.link_trace_id, trace.link_span_id) if trace.link_trace_id else None,
    )


def _client_span(record: CallRecord, trace: Trace, style: SpanStyle) -> SpanData:
    what, route, started = record.what, record.route, record.timing.started_ns
    address, port = split_host(route.host or "")
    begin, end = client_window(record)
    failure = error_type(record)
    attributes: Attributes = {
        names.SERVER_ADDRESS: address,
        names.SERVER_PORT: port,
        names.REQUEST_ID: record.id,
        names.ATTEMPT_NUMBER: max(1, route.attempts),
    }
    if route.attempt_reason is not None:
        attributes[names.ATTEMPT_REASON] = route.attempt_reason
    if failure is not None:
        attributes[names.ERROR_TYPE] = failure
        if record.answer.error_code is not None:
            attributes[names.ERROR_CODE] = record.answer.error_code
    _put_who(attributes, record, style)
    if what.operation is None:
        name = what.method
        _put_plain_call(attributes, record)
    else:
        name = f"{what.operation} {what.model}" if what.model else what.operation
        _put_inference(attributes, record, what.operation, style)
    return SpanData(
        name,
        SpanKind.CLIENT,
        trace.trace_id,
        trace.client_span_id,
        trace.server_span_id,
        False,
        trace.state,
        started + begin * 1000,
        started + end * 1000,
        attributes,
        failure is not None,
    )


def _put_plain_call(attributes: Attributes, record: CallRecord) -> None:
    """A call of a path we do not read (listings, files): an HTTP client span, nothing of GenAI."""
    attributes[names.HTTP_REQUEST_METHOD] = record.what.method
    attributes[names.URL_PATH] = record.what.path
    if record.answer.status is not None:
        attributes[names.HTTP_RESPONSE_STATUS_CODE] = record.answer.status


def _put_inference(attributes: Attributes, record: CallRecord, operation: str, style: SpanStyle) -> None:
    what, answer = record.what, record.answer
    attributes[names.OPERATION_NAME] = operation
    attributes[names.PROVIDER_NAME] = style.provider_names.get(what.provider, what.provider)
    if what.model is not None:
        attributes[names.REQUEST_MODEL] = what.model
    if what.stream:
        attributes[names.REQUEST_STREAM] = True
    if what.max_tokens is not None:
        attributes[names.REQUEST_MAX_TOKENS] = what.max_tokens
    if answer.model is not None:
        attributes[names.RESPONSE_MODEL] = answer.model
    if answer.response_id is not None:
        attributes[names.RESPONSE_ID] = answer.response_id
    if answer.finish_reasons:
        attributes[names.RESPONSE_FINISH_REASONS] = answer.finish_reasons
    elif what.stream and was_cut(record) and record.timing.first_chunk_us is not None:
        attributes[names.RESPONSE_FINISH_REASONS] = ("error",)
    if answer.service_tier is not None and what.wire is not None and what.wire.startswith("openai"):
        attributes[names.OPENAI_RESPONSE_SERVICE_TIER] = answer.service_tier
    seconds = first_chunk_seconds(record)
    if seconds is not None:
        attributes[names.RESPONSE_TIME_TO_FIRST_CHUNK] = seconds
    _put_usage(attributes, record)
    _put_cost(attributes, record.cost, style)


def _put_usage(attributes: Attributes, record: CallRecord) -> None:
    usage = record.usage
    if usage is None or record.usage_source is UsageSource.NONE:
        return
    attributes[names.USAGE_SOURCE] = record.usage_source.value
    if usage.input is not None:
        attributes[names.USAGE_INPUT_TOKENS] = usage.input
    if usage.output is not None:
        attributes[names.USAGE_OUTPUT_TOKENS] = usage.output
    if usage.cache_read is not None:
        attributes[names.USAGE_CACHE_READ] = usage.cache_read
    written = usage.cache_write
    if written is not None:
        attributes[names.USAGE_CACHE_WRITE] = written
        attributes[names.USAGE_CACHE_CREATION] = written
    if usage.reasoning is not None:
        attributes[names.USAGE_REASONING] = usage.reasoning


def _put_cost(attributes: Attributes, cost: Cost, style: SpanStyle) -> None:
    """Cost in USD, where it is known. A cost that is not known is left out: it is never 0."""
    attributes[names.COST_STATUS] = cost.status.value
    if cost.total is None:
        return
    total = cost.total / NANO_PER_USD
    attributes[names.COST_TOTAL] = total
    attributes[names.COST_CURRENCY] = "USD"
    if cost.status is not CostStatus.NOT_BILLABLE:
        attributes[names.COST_SOURCE] = "provider" if cost.source is CostSource.PROVIDER else "local"
        for key, part in (
            (names.COST_INPUT, cost.input),
            (names.COST_OUTPUT, cost.output),
            (names.COST_CACHE_READ, cost.cache_read),
            (names.COST_CACHE_WRITE, cost.cache_write),
            (names.COST_OTHER, cost.other),
        ):
            if part:
                attributes[key] = part / NANO_PER_USD
    if cost.snapshot is not None:
        attributes[names.PRICING_VERSION] = cost.snapshot
    if style.cost:
        _put_compat_cost(attributes, cost, total, style)


def _put_compat_cost(attributes: Attributes, cost: Cost, total: float, style: SpanStyle) -> None:
    if CostStyle.GEN_AI in style.cost:
        attributes[names.COMPAT_COST] = total
    if style.cost <= {CostStyle.GEN_AI}:
        return
    # These two know input and output only, so every kind of input counts as input.
    output = (cost.output or 0) / NANO_PER_USD
    prompt = ((cost.input or 0) + (cost.cache_read or 0) + (cost.cache_write or 0)) / NANO_PER_USD
    if CostStyle.MLFLOW in style.cost:
        split = {"input_cost": prompt, "output_cost": output, "total_cost": total}
        attributes[names.COMPAT_COST_MLFLOW] = msgspec.json.encode(split).decode()
    if CostStyle.OPENINFERENCE in style.cost:
        attributes[names.COMPAT_COST_OPENINFERENCE_TOTAL] = total
        attributes[names.COMPAT_COST_OPENINFERENCE_PROMPT] = prompt
        attributes[names.COMPAT_COST_OPENINFERENCE_COMPLETION] = output


def _put_who(attributes: Attributes, record: CallRecord, style: SpanStyle) -> None:
    """What both spans say of the caller."""
    who = record.who
    if who.user is not None and style.user_ids is not UserIds.OFF:
        attributes[names.USER_ID] = who.user if style.user_ids is UserIds.PLAIN else _hashed(who.user, style)
    if who.session is not None:
        attributes[names.SESSION_ID] = who.session
    if who.team is not None:
        attributes[names.TEAM_ID] = who.team


def _hashed(user: str, style: SpanStyle) -> str:
    key = style.user_hash_key.encode()[:64]
    return blake2b(user.encode("utf-8", "replace"), digest_size=16, key=key).hexdigest()


_OWNER: Final = (
    (names.TENANT_ID, "tenant"),
    (names.PROJECT_ID, "project"),
    (names.FEATURE, "feature"),
    (names.ENVIRONMENT, "environment"),
    (names.AGENT_ID, "agent"),
    (names.PARENT_AGENT_ID, "parent_agent"),
    (names.APP, "app"),
    (names.KEY_ID, "key_id"),
    (names.PROMPT_ID, "prompt_id"),
    (names.PROMPT_VERSION, "prompt_version"),
)


def _put_owner(attributes: Attributes, record: CallRecord) -> None:
    who = record.who
    for key, field in _OWNER:
        value = getattr(who, field)
        if value is not None:
            attributes[key] = value
    for tag, value in who.tags:
        attributes[names.TAG_PREFIX + tag] = value


def _put_route(attributes: Attributes, record: CallRecord) -> None:
    route = record.route
    if route.policy is not None:
        attributes[names.ROUTE_POLICY] = route.policy
    if route.reason is not None:
        attributes[names.ROUTE_REASON] = route.reason
    if route.confidence_ppm is not None:
        attributes[names.ROUTE_CONFIDENCE] = route.confidence_ppm / 1e6
    if route.baseline_model is not None:
        attributes[names.ROUTE_BASELINE_MODEL] = route.baseline_model
    if route.experiment is not None:
        attributes[names.EXPERIMENT] = route.experiment
    if route.variant is not None:
        attributes[names.VARIANT] = route.variant
