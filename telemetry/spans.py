"""What a finished call looks like as a trace: record in, spans out. No I/O, and free of the SDK.

    caller's span -> SERVER ``POST /v1/chat/completions`` -> CLIENT ``chat gpt-4o-mini``

The SERVER span is the app's view of the gateway, the CLIENT span our view of the provider. A call that never
reached a provider has no CLIENT span. Ids are those drawn when the call began (``record.trace``), so what was
propagated is what is exported. Spans carry no prompt, no answer and no key: the record has none.

Most of what spans say is the same from call to call: two thirds of their attributes are made once for all calls that are
alike, and encoded once.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from pricing.cost import NANO_PER_USD, Cost, CostSource, CostStatus
from telemetry import names
from telemetry.failure import error_type, server_error_type, was_cut
from telemetry.outcome import Outcome
from telemetry.protobuf import AttributeValue
from telemetry.record import Answer, CallRecord, Route, Trace, UsageSource, What, Who

Attributes = dict[str, AttributeValue]
_LONGEST_PATH: Final = 512
_MOST_KINDS: Final = 1024


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


class Steady(msgspec.Struct, eq=False):
    """What spans of calls that are alike share."""

    name: str
    kind: SpanKind
    attributes: Attributes
    failed: bool
    """Status ERROR; otherwise the status stays unset, as the conventions ask of success."""
    encoded: bytes | None = None
    """What an encoder made of it, for as long as it is remembered here."""


class SpanData(msgspec.Struct, frozen=True, gc=False):
    """One span, as an exporter needs it. Times are UTC nanoseconds."""

    steady: Steady
    trace_id: int
    span_id: int
    parent_span_id: int
    parent_is_remote: bool
    state: str | None
    start_ns: int
    end_ns: int
    own: Attributes
    """What it says beside ``steady``; no key is in both."""
    link: tuple[int, int] | None = None
    """Trace and span id of a linked span."""

    @property
    def attributes(self) -> Attributes:
        """All of them."""
        return self.steady.attributes | self.own


class SpanMaker:
    """Makes the spans of one process. Remembers, bounded, what calls that are alike share."""

    def __init__(self, style: SpanStyle) -> None:
        self._style = style
        self._known: dict[tuple[Any, ...], tuple[Steady, Steady | None]] = {}

    def spans(self, record: CallRecord) -> tuple[SpanData, ...]:
        """The spans of one call: SERVER, and CLIENT if a provider was called; none if not sampled."""
        trace = record.trace
        if trace is None or not trace.sampled or not trace.trace_id:
            return ()
        server, client = self._shared(record)
        first = _server_span(record, trace, server, self._style)
        return (first,) if client is None else (first, _client_span(record, trace, client, self._style))

    def _shared(self, record: CallRecord) -> tuple[Steady, Steady | None]:
        """What its spans share with those of other calls: of the SERVER span, and of the CLIENT span if there is one."""
        if not _is_alike(record):
            return self._new(record)
        likeness = _likeness(record)
        known = self._known.get(likeness)
        if known is None:
            if len(self._known) >= _MOST_KINDS:
                self._known.clear()
            known = self._known[likeness] = self._new(record)
        return known

    def _new(self, record: CallRecord) -> tuple[Steady, Steady | None]:
        server = _steady_server(record, self._style)
        return server, None if record.route.host is None else _steady_client(record, self._style)


_TEAM: Final = ((names.TEAM_ID, "team"),)
"""Attribute and field; the next two likewise."""
_OWNER: Final = (
    (names.TENANT_ID, "tenant"),
    (names.PROJECT_ID, "project"),
    (names.FEATURE, "feature"),
    (names.ENVIRONMENT, "environment"),
    (names.APP, "app"),
    (names.KEY_ID, "key_id"),
    (names.PROMPT_ID, "prompt_id"),
    (names.PROMPT_VERSION, "prompt_version"),
)
_DECISION: Final = (
    (names.ROUTE_POLICY, "policy"),
    (names.ROUTE_BASELINE_MODEL, "baseline_model"),
    (names.EXPERIMENT, "experiment"),
    (names.VARIANT, "variant"),
)


def _fields(part: type[msgspec.Struct], *names: str) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Takes some fields out of all: two calls in C for any number of them."""
    return operator.itemgetter(*[part.__struct_fields__.index(name) for name in names])


_of_who = _fields(Who, *[field for _, field in _TEAM + _OWNER])
_of_what = _fields(What, "provider", "wire", "operation", "method", "path", "model", "stream")
_of_route = _fields(Route, "host", "attempts", "attempt_reason", *[field for _, field in _DECISION])
_of_answer = _fields(Answer, "status", "model", "finish_reasons", "service_tier", "error_type", "error_code")


def _likeness(record: CallRecord) -> tuple[Any, ...]:
    """All that the steady parts of its spans follow from."""
    cost = record.cost
    return (
        record.outcome,
        _of_who(astuple(record.who)),
        _of_what(astuple(record.what)),
        _of_route(astuple(record.route)),
        _of_answer(astuple(record.answer)),
        record.timing.first_chunk_us is None,
        record.usage is None,
        record.usage_source,
        cost.status,
        cost.source,
        cost.snapshot,
        cost.total is None,
    )


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


def _is_alike(record: CallRecord) -> bool:
    """Will others be like it? Paths that we do not read, and those that are polled, may hold ids without end; and whoever
    sends a long one must not fill our memory with more of them."""
    what = record.what
    return what.wire is not None and what.method == "POST" and len(what.path) <= _LONGEST_PATH


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


def _server_span(record: CallRecord, trace: Trace, steady: Steady, style: SpanStyle) -> SpanData:
    timing, who = record.timing, record.who
    own: Attributes = {names.REQUEST_ID: record.id, names.OVERHEAD: timing.overhead_us / 1e6}
    _put_user(own, who, style)
    if who.agent is not None:
        own[names.AGENT_ID] = who.agent
    if who.parent_agent is not None:
        own[names.PARENT_AGENT_ID] = who.parent_agent
    for tag, value in who.tags:
        own[names.TAG_PREFIX + tag] = value
    if record.route.reason is not None:
        own[names.ROUTE_REASON] = record.route.reason
    if record.route.confidence_ppm is not None:
        own[names.ROUTE_CONFIDENCE] = record.route.confidence_ppm / 1e6
    return SpanData(
        steady,
        trace.trace_id,
        trace.server_span_id,
        trace.parent_span_id,
        trace.parent_span_id != 0,
        trace.state,
        timing.started_ns,
        timing.started_ns + timing.duration_us * 1000,
        own,
        (trace.link_trace_id, trace.link_span_id) if trace.link_trace_id else None,
    )


def _client_span(record: CallRecord, trace: Trace, steady: Steady, style: SpanStyle) -> SpanData:
    started = record.timing.started_ns
    begin, end = client_window(record)
    own: Attributes = {names.REQUEST_ID: record.id}
    _put_user(own, record.who, style)
    if record.what.operation is not None:
        if record.what.max_tokens is not None:
            own[names.REQUEST_MAX_TOKENS] = record.what.max_tokens
        if record.answer.response_id is not None:
            own[names.RESPONSE_ID] = record.answer.response_id
        seconds = first_chunk_seconds(record)
        if seconds is not None:
            own[names.RESPONSE_TIME_TO_FIRST_CHUNK] = seconds
        _put_usage(own, record)
        _put_cost(own, record.cost, style)
    return SpanData(
        steady,
        trace.trace_id,
        trace.client_span_id,
        trace.server_span_id,
        False,
        trace.state,
        started + begin * 1000,
        started + end * 1000,
        own,
    )


def _put_user(own: Attributes, who: Who, style: SpanStyle) -> None:
    """Who differs from call to call; both spans say it."""
    if who.user is not None and style.user_ids is not UserIds.OFF:
        own[names.USER_ID] = who.user if style.user_ids is UserIds.PLAIN else _hashed(who.user, style)
    if who.session is not None:
        own[names.SESSION_ID] = who.session


def _hashed(user: str, style: SpanStyle) -> str:
    key = style.user_hash_key.encode()[:64]
    return blake2b(user.encode("utf-8", "replace"), digest_size=16, key=key).hexdigest()


def _put_usage(own: Attributes, record: CallRecord) -> None:
    usage = record.usage
    if usage is None or record.usage_source is UsageSource.NONE:
        return
    if usage.input is not None:
        own[names.USAGE_INPUT_TOKENS] = usage.input
    if usage.output is not None:
        own[names.USAGE_OUTPUT_TOKENS] = usage.output
    if usage.cache_read is not None:
        own[names.USAGE_CACHE_READ] = usage.cache_read
    written = usage.cache_write
    if written is not None:
        own[names.USAGE_CACHE_WRITE] = written
        own[names.USAGE_CACHE_CREATION] = written
    if usage.reasoning is not None:
        own[names.USAGE_REASONING] = usage.reasoning


def _put_cost(own: Attributes, cost: Cost, style: SpanStyle) -> None:
    """Cost in USD, where it is known. A cost that is not known is left out: it is never 0."""
    if cost.total is None:
        return
    total = cost.total / NANO_PER_USD
    own[names.COST_TOTAL] = total
    if cost.status is not CostStatus.NOT_BILLABLE:
        if cost.input:
            own[names.COST_INPUT] = cost.input / NANO_PER_USD
        if cost.output:
            own[names.COST_OUTPUT] = cost.output / NANO_PER_USD
        if cost.cache_read:
            own[names.COST_CACHE_READ] = cost.cache_read / NANO_PER_USD
        if cost.cache_write:
            own[names.COST_CACHE_WRITE] = cost.cache_write / NANO_PER_USD
        if cost.other:
            own[names.COST_OTHER] = cost.other / NANO_PER_USD
    if style.cost:
        _put_compat_cost(own, cost, total, style)


def _put_compat_cost(own: Attributes, cost: Cost, total: float, style: SpanStyle) -> None:
    if CostStyle.GEN_AI in style.cost:
        own[names.COMPAT_COST] = total
    if CostStyle.MLFLOW not in style.cost and CostStyle.OPENINFERENCE not in style.cost:
        return
    # These two know input and output only, so every kind of input counts as input.
    output = (cost.output or 0) / NANO_PER_USD
    prompt = ((cost.input or 0) + (cost.cache_read or 0) + (cost.cache_write or 0)) / NANO_PER_USD
    if CostStyle.MLFLOW in style.cost:
        split = {"input_cost": prompt, "output_cost": output, "total_cost": total}
        own[names.COMPAT_COST_MLFLOW] = msgspec.json.encode(split).decode()
    if CostStyle.OPENINFERENCE in style.cost:
        own[names.COMPAT_COST_OPENINFERENCE_TOTAL] = total
        own[names.COMPAT_COST_OPENINFERENCE_PROMPT] = prompt
        own[names.COMPAT_COST_OPENINFERENCE_COMPLETION] = output


# ---- what calls that are alike share: what is read here belongs into ``_likeness``


def _steady_server(record: CallRecord, style: SpanStyle) -> Steady:
    what, answer = record.what, record.answer
    route = route_of(record)
    failure = server_error_type(record)
    attributes: Attributes = {
        names.HTTP_REQUEST_METHOD: what.method,
        names.URL_PATH: what.path,
        names.URL_SCHEME: style.url_scheme,
        names.OUTCOME: record.outcome.value,
        names.ATTEMPTS: record.route.attempts,
        names.ROUTE_DECISION: "blocked" if record.outcome is Outcome.REFUSED else "primary",
    }
    if route is not None:
        attributes[names.HTTP_ROUTE] = route
    if answer.status is not None:
        attributes[names.HTTP_RESPONSE_STATUS_CODE] = answer.status
    if failure is not None:
        attributes[names.ERROR_TYPE] = failure
    if what.model is not None:
        attributes[names.ASKED_MODEL] = what.model
    _put(attributes, record.who, _TEAM + _OWNER)
    _put(attributes, record.route, _DECISION)
    name = f"{what.method} {route}" if route is not None else what.method
    return Steady(name, SpanKind.SERVER, attributes, failure is not None)


def _steady_client(record: CallRecord, style: SpanStyle) -> Steady:
    what, route = record.what, record.route
    address, port = split_host(route.host or "")
    failure = error_type(record)
    attributes: Attributes = {
        names.SERVER_ADDRESS: address,
        names.SERVER_PORT: port,
        names.ATTEMPT_NUMBER: max(1, route.attempts),
    }
    if route.attempt_reason is not None:
        attributes[names.ATTEMPT_REASON] = route.attempt_reason
    if failure is not None:
        attributes[names.ERROR_TYPE] = failure
        if record.answer.error_code is not None:
            attributes[names.ERROR_CODE] = record.answer.error_code
    _put(attributes, record.who, _TEAM)
    if what.operation is None:
        name = what.method
        _put_plain_call(attributes, record)
    else:
        name = f"{what.operation} {what.model}" if what.model else what.operation
        _put_inference(attributes, record, what.operation, style)
    return Steady(name, SpanKind.CLIENT, attributes, failure is not None)


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
    if answer.model is not None:
        attributes[names.RESPONSE_MODEL] = answer.model
    if answer.finish_reasons:
        attributes[names.RESPONSE_FINISH_REASONS] = answer.finish_reasons
    elif what.stream and was_cut(record) and record.timing.first_chunk_us is not None:
        attributes[names.RESPONSE_FINISH_REASONS] = ("error",)
    if answer.service_tier is not None and what.wire is not None and what.wire.startswith("openai"):
        attributes[names.OPENAI_RESPONSE_SERVICE_TIER] = answer.service_tier
    if record.usage is not None and record.usage_source is not UsageSource.NONE:
        attributes[names.USAGE_SOURCE] = record.usage_source.value
    cost = record.cost
    attributes[names.COST_STATUS] = cost.status.value
    if cost.total is None:
        return
    attributes[names.COST_CURRENCY] = "USD"
    if cost.status is not CostStatus.NOT_BILLABLE:
        attributes[names.COST_SOURCE] = "provider" if cost.source is CostSource.PROVIDER else "local"
    if cost.snapshot is not None:
        attributes[names.PRICING_VERSION] = cost.snapshot


def _put(attributes: Attributes, part: msgspec.Struct, fields: tuple[tuple[str, str], ...]) -> None:
    """Those of the fields that are filled."""
    for key, field in fields:
        value = getattr(part, field)
        if value is not None:
            attributes[key] = value
