"""What is exported and where to, from settings and the OTEL_* environment."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.resources import OTELResourceDetector

from telemetry.config import (
    MetricNames,
    Protocol,
    Secrets,
    TelemetryConfig,
    TelemetryPlan,
    Temporality,
    resolve,
)
from telemetry.sampling import Sampler

BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}


def plan(environ: dict[str, str] | None = None, **wishes: object) -> TelemetryPlan:
    return resolve(TelemetryConfig(**wishes), environ or {})  # type: ignore[arg-type]


def endpoints(found: TelemetryPlan) -> tuple[str | None, str | None]:
    return (
        found.traces.endpoint if found.traces else None,
        found.metrics.endpoint if found.metrics else None,
    )


def test_nothing_is_exported_unless_asked_for() -> None:
    found = plan()
    assert (found.traces, found.metrics, found.enabled, found.warnings) == (None, None, False, ())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (BASE, ("http://c:4318/v1/traces", "http://c:4318/v1/metrics")),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c/otel"},
            ("http://c/otel/v1/traces", "http://c/otel/v1/metrics"),
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/only"}, ("http://c/only", None)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c/m"}, (None, "http://c/m")),
        (
            {**BASE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"},
            ("http://t/x", "http://c:4318/v1/metrics"),
        ),
        ({**BASE, "OTEL_SDK_DISABLED": "TRUE"}, (None, None)),
        ({**BASE, "OTEL_SDK_DISABLED": "false"}, ("http://c:4318/v1/traces", "http://c:4318/v1/metrics")),
        ({**BASE, "OTEL_TRACES_EXPORTER": "none"}, (None, "http://c:4318/v1/metrics")),
        ({**BASE, "OTEL_METRICS_EXPORTER": "none"}, ("http://c:4318/v1/traces", None)),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, ("http://localhost:4318/v1/traces", None)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "  "}, (None, None)),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ("http://localhost:4317", None),
        ),
        ({**BASE, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("http://c:4318/", "http://c:4318/")),
    ],
)
def test_endpoints(environ: dict[str, str], expected: tuple[str | None, str | None]) -> None:
    assert endpoints(plan(environ)) == expected


def test_settings_win_over_the_environment_but_never_switch_on_what_it_switched_off() -> None:
    assert endpoints(plan(BASE, endpoint="http://s")) == ("http://s/v1/traces", "http://s/v1/metrics")
    assert endpoints(plan(BASE, traces_endpoint="http://s/t")) == ("http://s/t", "http://c:4318/v1/metrics")
    assert endpoints(plan({"OTEL_SDK_DISABLED": "true"}, endpoint="http://s")) == (None, None)
    assert endpoints(plan({"OTEL_TRACES_EXPORTER": "none"}, endpoint="http://s"))[0] is None


def test_protocols_per_signal() -> None:
    found = plan({**BASE, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"})
    assert found.traces is not None
    assert found.metrics is not None
    assert (found.traces.protocol, found.metrics.protocol) == (Protocol.HTTP, Protocol.GRPC)
    assert found.metrics.endpoint == "http://c:4318/"


@pytest.mark.parametrize(
    ("endpoint", "environ", "expected"),
    [
        ("http://c:4317", {}, True),
        ("https://c:4317", {}, False),
        ("c:4317", {}, False),
        ("c:4317", {"OTEL_EXPORTER_OTLP_INSECURE": "true"}, True),
        ("https://c:4317", {"OTEL_EXPORTER_OTLP_INSECURE": "true"}, False),
    ],
)
def test_tls_of_grpc(endpoint: str, environ: dict[str, str], expected: bool) -> None:
    found = plan(environ, endpoint=endpoint, protocol=Protocol.GRPC)
    assert found.traces is not None
    assert found.traces.insecure is expected


def test_console() -> None:
    found = plan({"OTEL_TRACES_EXPORTER": "console"})
    assert found.traces is not None
    assert (found.traces.console, found.metrics) == (True, None)


def test_headers_are_decoded_and_kept_out_of_sight() -> None:
    found = plan({**BASE, "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc123, x-scope = a=b"})
    assert found.traces is not None
    assert found.traces.headers == (("authorization", "Basic abc123"), ("x-scope", "a=b"))
    assert "abc123" not in repr(found)
    assert "hunter2" not in repr(TelemetryConfig(headers=Secrets((("a", "hunter2"),))))


def test_headers_of_one_signal_replace_the_common_ones() -> None:
    environ = {**BASE, "OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2"}
    found = plan(environ)
    assert found.traces is not None
    assert found.metrics is not None
    assert (found.traces.headers, found.metrics.headers) == ((("b", "2"),), (("a", "1"),))


def test_numbers() -> None:
    found = plan(
        {
            **BASE,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "7",
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "100000",
            "OTEL_BSP_MAX_QUEUE_SIZE": "99",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "9",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca.pem",
        }
    )
    assert found.traces is not None
    assert found.metrics is not None
    assert (found.traces.timeout_s, found.metrics.timeout_s) == (7.0, 60.0)
    assert (found.queue_limit, found.batch_limit, found.flush_interval_s, found.metrics_interval_s) == (
        99,
        9,
        0.25,
        5,
    )
    assert (found.traces.gzip, found.traces.ca_file) == (True, "/ca.pem")
    assert found.warnings == ()


def test_defaults() -> None:
    found = plan(BASE)
    assert found.traces is not None
    assert (found.traces.timeout_s, found.traces.gzip) == (3.0, False)
    assert (found.queue_limit, found.batch_limit, found.flush_interval_s, found.metrics_interval_s) == (
        4096,
        512,
        1,
        60,
    )
    assert (found.metrics_names, found.temporality) == (MetricNames.V1_41, Temporality.CUMULATIVE)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Sampler(1.0, True)),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, Sampler(1.0, False)),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, Sampler(0.0, False)),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, Sampler(0.0, True)),
        ({"OTEL_TRACES_SAMPLER": "TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, Sampler(0.25, False)),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
            Sampler(0.0, True),
        ),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, Sampler(1.0, False)),
    ],
)
def test_samplers(environ: dict[str, str], expected: Sampler) -> None:
    found = plan(environ)
    assert (found.sampler, found.warnings) == (expected, ())
    assert plan(environ, sampler=Sampler(0.5)).sampler == Sampler(0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "weekly"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "novalue"),
    ],
)
def test_what_cannot_be_understood_is_ignored_with_a_warning(name: str, value: str) -> None:
    found = plan({**BASE, name: value})
    (warning,) = found.warnings
    assert warning.startswith(f"{name}: ")
    reference = plan(BASE)
    assert endpoints(found) == endpoints(reference)
    assert found.traces == reference.traces
    assert (found.sampler, found.temporality, found.queue_limit) == (Sampler(), Temporality.CUMULATIVE, 4096)


def test_a_ratio_that_is_none_is_ignored_with_a_warning() -> None:
    found = plan({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"})
    assert found.sampler == Sampler(1.0, False)
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [("delta", Temporality.DELTA), ("LowMemory", Temporality.DELTA), ("CUMULATIVE", Temporality.CUMULATIVE)],
)
def test_temporality(value: str, expected: Temporality) -> None:
    assert plan({"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": value}).temporality is expected


def test_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "deployment.environment.name=prod%20eu, service.name = other ,bad"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", text)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-gateway")
    environ = {"OTEL_RESOURCE_ATTRIBUTES": text, "OTEL_SERVICE_NAME": "shop-gateway"}
    found = dict(resolve(TelemetryConfig(service_version="1.2"), environ, "w-1").resource)
    detected = dict(OTELResourceDetector().detect().attributes)
    assert {key: found[key] for key in detected} == detected
    assert found["service.version"] == "1.2"
    assert found["service.instance.id"] == "w-1"


def test_the_service_has_a_name() -> None:
    assert dict(plan().resource)["service.name"] == "weighbridge"
    named = plan({"OTEL_SERVICE_NAME": "a"}, service_name="b", resource=(("service.name", "c"), ("x", "y")))
    assert dict(named.resource)["service.name"] == "b"
    assert dict(named.resource)["x"] == "y"
