"""The vocabulary is a promise to dashboards and backends: changing a string here is a breaking change."""

from __future__ import annotations

from telemetry import names

PINNED = {
    "SCOPE_NAME": "weighbridge",
    "SCHEMA_URL": "https://opentelemetry.io/schemas/1.41.0",
    "HTTP_REQUEST_METHOD": "http.request.method",
    "HTTP_RESPONSE_STATUS_CODE": "http.response.status_code",
    "HTTP_ROUTE": "http.route",
    "URL_PATH": "url.path",
    "URL_SCHEME": "url.scheme",
    "SERVER_ADDRESS": "server.address",
    "SERVER_PORT": "server.port",
    "ERROR_TYPE": "error.type",
    "USER_ID": "user.id",
    "SESSION_ID": "session.id",
    "OPERATION_NAME": "gen_ai.operation.name",
    "PROVIDER_NAME": "gen_ai.provider.name",
    "REQUEST_MODEL": "gen_ai.request.model",
    "REQUEST_STREAM": "gen_ai.request.stream",
    "REQUEST_MAX_TOKENS": "gen_ai.request.max_tokens",
    "RESPONSE_ID": "gen_ai.response.id",
    "RESPONSE_MODEL": "gen_ai.response.model",
    "RESPONSE_FINISH_REASONS": "gen_ai.response.finish_reasons",
    "RESPONSE_TIME_TO_FIRST_CHUNK": "gen_ai.response.time_to_first_chunk",
    "USAGE_INPUT_TOKENS": "gen_ai.usage.input_tokens",
    "USAGE_OUTPUT_TOKENS": "gen_ai.usage.output_tokens",
    "USAGE_CACHE_READ": "gen_ai.usage.cache_read.input_tokens",
    "USAGE_CACHE_WRITE": "gen_ai.usage.cache_write.input_tokens",
    "USAGE_CACHE_CREATION": "gen_ai.usage.cache_creation.input_tokens",
    "USAGE_REASONING": "gen_ai.usage.reasoning.output_tokens",
    "TOKEN_TYPE": "gen_ai.token.type",
    "TOKEN_MODALITY": "gen_ai.token.modality",
    "OPENAI_RESPONSE_SERVICE_TIER": "openai.response.service_tier",
    "COMPAT_COST": "gen_ai.usage.cost",
    "COMPAT_COST_MLFLOW": "mlflow.llm.cost",
    "COMPAT_COST_OPENINFERENCE_TOTAL": "llm.cost.total",
    "COMPAT_COST_OPENINFERENCE_PROMPT": "llm.cost.prompt",
    "COMPAT_COST_OPENINFERENCE_COMPLETION": "llm.cost.completion",
    "REQUEST_ID": "weighbridge.request.id",
    "ASKED_MODEL": "weighbridge.request.model",
    "OUTCOME": "weighbridge.outcome",
    "OVERHEAD": "weighbridge.overhead.duration",
    "ATTEMPTS": "weighbridge.attempts",
    "ATTEMPT_NUMBER": "weighbridge.attempt.number",
    "ATTEMPT_REASON": "weighbridge.attempt.reason",
    "ERROR_CODE": "weighbridge.error.code",
    "TENANT_ID": "weighbridge.tenant.id",
    "TEAM_ID": "weighbridge.team.id",
    "PROJECT_ID": "weighbridge.project.id",
    "FEATURE": "weighbridge.feature",
    "ENVIRONMENT": "weighbridge.environment",
    "AGENT_ID": "weighbridge.agent.id",
    "PARENT_AGENT_ID": "weighbridge.agent.parent_id",
    "APP": "weighbridge.app",
    "KEY_ID": "weighbridge.key.id",
    "PROMPT_ID": "weighbridge.prompt.id",
    "PROMPT_VERSION": "weighbridge.prompt.version",
    "TAG_PREFIX": "weighbridge.tag.",
    "ROUTE_DECISION": "weighbridge.route.decision",
    "ROUTE_POLICY": "weighbridge.route.policy",
    "ROUTE_REASON": "weighbridge.route.reason",
    "ROUTE_CONFIDENCE": "weighbridge.route.confidence",
    "ROUTE_BASELINE_MODEL": "weighbridge.route.baseline_model",
    "EXPERIMENT": "weighbridge.experiment.id",
    "VARIANT": "weighbridge.experiment.variant",
    "USAGE_SOURCE": "weighbridge.usage.source",
    "COST_STATUS": "weighbridge.cost.status",
    "COST_SOURCE": "weighbridge.cost.source",
    "COST_CURRENCY": "weighbridge.cost.currency",
    "COST_TOTAL": "weighbridge.cost.total",
    "COST_INPUT": "weighbridge.cost.input",
    "COST_OUTPUT": "weighbridge.cost.output",
    "COST_CACHE_READ": "weighbridge.cost.cache_read",
    "COST_CACHE_WRITE": "weighbridge.cost.cache_write",
    "COST_OTHER": "weighbridge.cost.other",
    "PRICING_VERSION": "weighbridge.pricing.version",
    "METRIC_OVERFLOW": "otel.metric.overflow",
    "TOKEN_USAGE": "gen_ai.client.token.usage",
    "OPERATION_DURATION": "gen_ai.client.operation.duration",
    "TIME_TO_FIRST_CHUNK": "gen_ai.client.operation.time_to_first_chunk",
    "INFERENCE_DURATION": "gen_ai.client.inference.duration",
    "INFERENCE_TIME_TO_FIRST_CHUNK": "gen_ai.client.inference.time_to_first_chunk",
    "INFERENCE_INPUT_TOKENS": "gen_ai.client.inference.operation.input_tokens",
    "INFERENCE_OUTPUT_TOKENS": "gen_ai.client.inference.operation.output_tokens",
    "INFERENCE_USAGE_INPUT": "gen_ai.client.inference.usage.input_tokens",
    "INFERENCE_USAGE_OUTPUT": "gen_ai.client.inference.usage.output_tokens",
    "INFERENCE_USAGE_CACHE_READ": "gen_ai.client.inference.usage.cache_read.input_tokens",
    "INFERENCE_USAGE_CACHE_WRITE": "gen_ai.client.inference.usage.cache_write.input_tokens",
    "INFERENCE_USAGE_REASONING": "gen_ai.client.inference.usage.reasoning.output_tokens",
    "COST": "weighbridge.cost",
    "UNPRICED_CALLS": "weighbridge.calls.unpriced",
    "SERVER_DURATION": "http.server.request.duration",
    "OTHER": "other",
    "ERROR_OTHER": "_OTHER",
}


def strings() -> dict[str, str]:
    return {name: value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}


def test_every_string_is_pinned() -> None:
    assert strings() == PINNED


def test_buckets_are_those_of_the_conventions() -> None:
    assert names.DURATION_BUCKETS == (
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    )  # fmt: skip
    assert names.TOKEN_BUCKETS == (
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    )  # fmt: skip
    assert names.HTTP_BUCKETS == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def test_nothing_deprecated_is_in_the_vocabulary() -> None:
    deprecated = (
        "gen_ai.system",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.openai.",
    )
    contents = ("gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages")
    assert not [value for value in strings().values() if value.startswith(deprecated + contents)]


def test_provider_names() -> None:
    assert dict(names.PROVIDER_NAMES) == {
        "azure": "azure.ai.openai",
        "bedrock": "aws.bedrock",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "moonshot": "moonshot_ai",
        "vertex": "gcp.vertex_ai",
        "watsonx": "ibm.watsonx.ai",
        "xai": "x_ai",
    }
