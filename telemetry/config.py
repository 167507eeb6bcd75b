"""What is exported and where to: the settings' wishes and the OTEL_* environment made into one plan.

Nothing is exported unless an endpoint is named or an exporter is asked for. What the settings say wins over
``OTEL_*`` variables, with one exception: ``OTEL_SDK_DISABLED`` and ``OTEL_*_EXPORTER=none`` always switch off.
As the OpenTelemetry specification asks, a variable that cannot be understood is ignored with a warning.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

import msgspec

from telemetry.sampling import IncomingTrace, Sampler
from telemetry.spans import SpanStyle


class Protocol(enum.StrEnum):
    """Transports of OTLP that are spoken."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class MetricNames(enum.StrEnum):
    """Which generation of the GenAI metric names is written."""

    V1_41 = "v1.41"
    LATEST = "latest"
    BOTH = "both"


class Temporality(enum.StrEnum):
    """Sums since the start, or since the last export."""

    CUMULATIVE = "cumulative"
    DELTA = "delta"


class Secrets(tuple[tuple[str, str], ...]):
    """Pairs of header name and value whose values stay out of every repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secrets(" + ", ".join(f"{name}=***" for name, _ in self) + ")"


class TelemetryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's wishes. ``None`` and empty mean "not said": the environment or the default decides."""

    endpoint: str | None = None
    """Base URL of a collector (``http://localhost:4318``); ``/v1/traces`` and ``/v1/metrics`` are appended for HTTP."""
    traces_endpoint: str | None = None
    """Complete URL, nothing is appended."""
    metrics_endpoint: str | None = None
    protocol: Protocol | None = None
    headers: Secrets = Secrets()
    timeout_s: float | None = None
    """Of one export request. Default 3 s."""
    service_name: str | None = None
    service_version: str = ""
    resource: tuple[tuple[str, str], ...] = ()
    """Further resource attributes."""
    incoming_trace: IncomingTrace = IncomingTrace.PARENT
    sampler: Sampler | None = None
    metrics_names: MetricNames = MetricNames.V1_41
    span_style: SpanStyle = SpanStyle()
    queue_limit: int | None = None
    """Records waiting for the export thread. Default 4096."""
    batch_limit: int | None = None
    """Spans per export request. Default 512."""
    flush_interval_s: float | None = None
    """Default 1 s."""
    metrics_interval_s: float | None = None
    """Default 60 s."""
    backlog_bytes: int = 8 * 1024 * 1024
    """Encoded spans kept while the collector is away; the oldest are dropped beyond that."""


class SignalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where one signal goes."""

    console: bool = False
    protocol: Protocol = Protocol.HTTP
    endpoint: str = ""
    headers: Secrets = Secrets()
    timeout_s: float = 3.0
    gzip: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure: bool = False
    """gRPC without TLS."""


class TelemetryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What will be done."""

    traces: SignalPlan | None
    metrics: SignalPlan | None
    resource: tuple[tuple[str, str], ...]
    sampler: Sampler
    incoming_trace: IncomingTrace
    metrics_names: MetricNames
    temporality: Temporality
    span_style: SpanStyle
    queue_limit: int
    batch_limit: int
    flush_interval_s: float
    metrics_interval_s: float
    backlog_bytes: int
    warnings: tuple[str, ...] = ()
    """What could not be understood; to be logged once."""

    @property
    def enabled(self) -> bool:
        """False: nothing is exported and nothing of OpenTelemetry is imported."""
        return self.traces is not None or self.metrics is not None


_DEFAULT_SERVICE: Final = "weighbridge"
_LONGEST_TIMEOUT: Final = 60.0
_TRUE: Final = ("true", "1", "yes", "on")


class _Environment:
    """Typed look at ``OTEL_*``; collects warnings."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.warnings: list[str] = []

    def text(self, *names: str) -> str | None:
        """The first that is set and not empty."""
        for name in names:
            value = self._variables.get(name, "").strip()
            if value:
                return value
        return None

    def flag(self, *names: str) -> bool:
        return (self.text(*names) or "").lower() in _TRUE

    def number(self, *names: str, scale: float = 1.0) -> float | None:
        """A positive number times ``scale``."""
        for name in names:
            text = self.text(name)
            if text is None:
                continue
            try:
                value = float(text)
            except ValueError:
                value = -1.0
            if 0 < value < 1e9:
                return value * scale
            self.warn(name, text, "is not a positive number")
        return None

    def choice(self, name: str, allowed: Mapping[str, str]) -> str | None:
        text = self.text(name)
        if text is None:
            return None
        found = allowed.get(text.lower())
        if found is None:
            self.warn(name, text, f"is not one of {', '.join(sorted(allowed))}")
        return found

    def pairs(self, *names: str) -> tuple[tuple[str, str], ...]:
        """``key=value,key=value`` with percent-escapes, as headers and resource attributes are written."""
        found: list[tuple[str, str]] = []
        for name in names:
            text = self.text(name)
            if text is None:
                continue
            for part in text.split(","):
                key, equals, value = part.partition("=")
                if equals and key.strip():
                    found.append((unquote(key.strip()), unquote(value.strip())))
                elif part.strip():
                    self.warnings.append(
                        f"{name}: a part without a name and '=' is ignored; write key=value,key=value"
                    )
            return tuple(found)
        return ()

    def warn(self, name: str, value: str, problem: str) -> None:
        self.warnings.append(f"{name}: {value!r} {problem}; the default is used")


def resolve(config: TelemetryConfig, environ: Mapping[str, str], instance_id: str = "") -> TelemetryPlan:
    """One plan from settings and environment. Never raises; see ``warnings``.

    ``instance_id`` tells worker processes apart (``service.instance.id``), without which their cumulative
    metrics would overwrite each other.
    """
    env = _Environment(environ)
    off = env.flag("OTEL_SDK_DISABLED")
    return TelemetryPlan(
        traces=None if off else _signal(config, env, "TRACES", "v1/traces", config.traces_endpoint),
        metrics=None if off else _signal(config, env, "METRICS", "v1/metrics", config.metrics_endpoint),
        resource=_resource(config, env, instance_id),
        sampler=config.sampler or _sampler(env),
        incoming_trace=config.incoming_trace,
        metrics_names=config.metrics_names,
        temporality=_temporality(env),
        span_style=config.span_style,
        queue_limit=config.queue_limit or int(env.number("OTEL_BSP_MAX_QUEUE_SIZE") or 4096),
        batch_limit=config.batch_limit or int(env.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or 512),
        flush_interval_s=config.flush_interval_s or env.number("OTEL_BSP_SCHEDULE_DELAY", scale=1e-3) or 1.0,
        metrics_interval_s=config.metrics_interval_s
        or env.number("OTEL_METRIC_EXPORT_INTERVAL", scale=1e-3)
        or 60.0,
        backlog_bytes=config.backlog_bytes,
        warnings=tuple(dict.fromkeys(env.warnings)),
    )


_EXPORTERS: Final = {"none": "none", "otlp": "otlp", "console": "console"}
_PROTOCOLS: Final = {"http/protobuf": "http/protobuf", "grpc": "grpc"}
_COMPRESSIONS: Final = {"none": "none", "gzip": "gzip"}


def _signal(
    config: TelemetryConfig, env: _Environment, signal: str, path: str, endpoint: str | None
) -> SignalPlan | None:
    exporter = env.choice(f"OTEL_{signal}_EXPORTER", _EXPORTERS)
    if exporter == "none":
        return None
    if exporter == "console":
        return SignalPlan(console=True)

    def both(suffix: str) -> tuple[str, str]:
        return f"OTEL_EXPORTER_OTLP_{signal}_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}"

    chosen = config.protocol
    if chosen is None:
        named = [env.choice(name, _PROTOCOLS) for name in both("PROTOCOL")]
        chosen = Protocol(named[0] or named[1] or Protocol.HTTP)
    url = endpoint or _below(config.endpoint, path, chosen)
    if url is None:
        own, base = both("ENDPOINT")
        url = env.text(own) or _below(env.text(base), path, chosen)
    if url is None and exporter == "otlp":
        url = _below(
            "http://localhost:4317" if chosen is Protocol.GRPC else "http://localhost:4318", path, chosen
        )
    if url is None:
        return None
    compression = [env.choice(name, _COMPRESSIONS) for name in both("COMPRESSION")]
    return SignalPlan(
        protocol=chosen,
        endpoint=url,
        headers=config.headers or Secrets(env.pairs(*both("HEADERS"))),
        timeout_s=min(config.timeout_s or env.number(*both("TIMEOUT")) or 3.0, _LONGEST_TIMEOUT),
        gzip=(compression[0] or compression[1]) == "gzip",
        ca_file=env.text(*both("CERTIFICATE")),
        cert_file=env.text(*both("CLIENT_CERTIFICATE")),
        key_file=env.text(*both("CLIENT_KEY")),
        insecure=url.lower().startswith("http://")
        or (env.flag(*both("INSECURE")) and not url.lower().startswith("https://")),
    )


def _below(base: str | None, path: str, protocol: Protocol) -> str | None:
    if base is None or protocol is Protocol.GRPC:
        return base
    return f"{base.rstrip('/')}/{path}"


def _resource(config: TelemetryConfig, env: _Environment, instance_id: str) -> tuple[tuple[str, str], ...]:
    attributes = {
        "telemetry.sdk.language": "python",
        # Not the SDK's tracer and meter: spans and sums are made here, in the form the SDK would give them.
        "telemetry.sdk.name": _DEFAULT_SERVICE,
        "service.name": _DEFAULT_SERVICE,
    }
    if config.service_version:
        attributes["telemetry.sdk.version"] = config.service_version
        attributes["service.version"] = config.service_version
    if instance_id:
        attributes["service.instance.id"] = instance_id
    attributes.update(env.pairs("OTEL_RESOURCE_ATTRIBUTES"))
    attributes.update(config.resource)
    name = config.service_name or env.text("OTEL_SERVICE_NAME")
    if name:
        attributes["service.name"] = name
    return tuple(attributes.items())


_SAMPLERS: Final = {
    name: name
    for kind in ("always_on", "always_off", "traceidratio")
    for name in (kind, f"parentbased_{kind}")
}


def _sampler(env: _Environment) -> Sampler:
    name = env.choice("OTEL_TRACES_SAMPLER", _SAMPLERS) or "parentbased_always_on"
    parent_based = name.startswith("parentbased_")
    match name.removeprefix("parentbased_"):
        case "always_off":
            return Sampler(0.0, parent_based)
        case "traceidratio":
            return Sampler(_ratio(env), parent_based)
        case _:
            return Sampler(1.0, parent_based)


def _ratio(env: _Environment) -> float:
    text = env.text("OTEL_TRACES_SAMPLER_ARG")
    if text is None:
        return 1.0
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if 0.0 <= ratio <= 1.0:
        return ratio
    env.warn("OTEL_TRACES_SAMPLER_ARG", text, "is not a share between 0 and 1")
    return 1.0


def _temporality(env: _Environment) -> Temporality:
    # All our instruments are counters and histograms, for which "lowmemory" means delta too.
    known = {"cumulative": "cumulative", "delta": "delta", "lowmemory": "delta"}
    return Temporality(env.choice("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", known) or "cumulative")
