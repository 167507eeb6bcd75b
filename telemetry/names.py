"""The vocabulary of spans and metrics: every key and name this product emits, in one place.

Keys of the OpenTelemetry GenAI conventions are written out here, not imported: the conventions are in
development and their generated constants move between releases. The source is v1.41 of the semantic
conventions; what is newer says so. A test pins every string of this file.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

SCOPE_NAME: Final = "weighbridge"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"

# General and HTTP attributes (stable).
HTTP_REQUEST_METHOD: Final = "http.request.method"
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
HTTP_ROUTE: Final = "http.route"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"

# GenAI attributes.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
"""The newest name."""
USAGE_CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"
"""The name of v1.41, which some backends read alone; always written with the same value."""
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"
TOKEN_MODALITY: Final = "gen_ai.token.modality"
"""Newest conventions only."""
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"

# Cost under names that backends read today; one switch each.
COMPAT_COST: Final = "gen_ai.usage.cost"
COMPAT_COST_MLFLOW: Final = "mlflow.llm.cost"
COMPAT_COST_OPENINFERENCE_TOTAL: Final = "llm.cost.total"
COMPAT_COST_OPENINFERENCE_PROMPT: Final = "llm.cost.prompt"
COMPAT_COST_OPENINFERENCE_COMPLETION: Final = "llm.cost.completion"

# Our own attributes.
REQUEST_ID: Final = "weighbridge.request.id"
ASKED_MODEL: Final = "weighbridge.request.model"
OUTCOME: Final = "weighbridge.outcome"
OVERHEAD: Final = "weighbridge.overhead.duration"
"""Our own share of the call, seconds."""
ATTEMPTS: Final = "weighbridge.attempts"
ATTEMPT_NUMBER: Final = "weighbridge.attempt.number"
ATTEMPT_REASON: Final = "weighbridge.attempt.reason"
ERROR_CODE: Final = "weighbridge.error.code"
TENANT_ID: Final = "weighbridge.tenant.id"
TEAM_ID: Final = "weighbridge.team.id"
PROJECT_ID: Final = "weighbridge.project.id"
FEATURE: Final = "weighbridge.feature"
ENVIRONMENT: Final = "weighbridge.environment"
AGENT_ID: Final = "weighbridge.agent.id"
PARENT_AGENT_ID: Final = "weighbridge.agent.parent_id"
APP: Final = "weighbridge.app"
KEY_ID: Final = "weighbridge.key.id"
PROMPT_ID: Final = "weighbridge.prompt.id"
PROMPT_VERSION: Final = "weighbridge.prompt.version"
TAG_PREFIX: Final = "weighbridge.tag."
ROUTE_DECISION: Final = "weighbridge.route.decision"
ROUTE_POLICY: Final = "weighbridge.route.policy"
ROUTE_REASON: Final = "weighbridge.route.reason"
ROUTE_CONFIDENCE: Final = "weighbridge.route.confidence"
ROUTE_BASELINE_MODEL: Final = "weighbridge.route.baseline_model"
EXPERIMENT: Final = "weighbridge.experiment.id"
VARIANT: Final = "weighbridge.experiment.variant"
USAGE_SOURCE: Final = "weighbridge.usage.source"
COST_STATUS: Final = "weighbridge.cost.status"
COST_SOURCE: Final = "weighbridge.cost.source"
COST_CURRENCY: Final = "weighbridge.cost.currency"
COST_TOTAL: Final = "weighbridge.cost.total"
COST_INPUT: Final = "weighbridge.cost.input"
COST_OUTPUT: Final = "weighbridge.cost.output"
COST_CACHE_READ: Final = "weighbridge.cost.cache_read"
COST_CACHE_WRITE: Final = "weighbridge.cost.cache_write"
COST_OTHER: Final = "weighbridge.cost.other"
PRICING_VERSION: Final = "weighbridge.pricing.version"

METRIC_OVERFLOW: Final = "otel.metric.overflow"
"""Marks the one series that takes what exceeds the limit of series (OpenTelemetry SDK specification)."""

# Metrics of v1.41.
TOKEN_USAGE: Final = "gen_ai.client.token.usage"
OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
# Metrics of the newest conventions (repository semantic-conventions-genai).
INFERENCE_DURATION: Final = "gen_ai.client.inference.duration"
INFERENCE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.inference.time_to_first_chunk"
INFERENCE_INPUT_TOKENS: Final = "gen_ai.client.inference.operation.input_tokens"
INFERENCE_OUTPUT_TOKENS: Final = "gen_ai.client.inference.operation.output_tokens"
INFERENCE_USAGE_INPUT: Final = "gen_ai.client.inference.usage.input_tokens"
INFERENCE_USAGE_OUTPUT: Final = "gen_ai.client.inference.usage.output_tokens"
INFERENCE_USAGE_CACHE_READ: Final = "gen_ai.client.inference.usage.cache_read.input_tokens"
INFERENCE_USAGE_CACHE_WRITE: Final = "gen_ai.client.inference.usage.cache_write.input_tokens"
INFERENCE_USAGE_REASONING: Final = "gen_ai.client.inference.usage.reasoning.output_tokens"
# Ours, and the stable HTTP one.
COST: Final = "weighbridge.cost"
UNPRICED_CALLS: Final = "weighbridge.calls.unpriced"
SERVER_DURATION: Final = "http.server.request.duration"

DURATION_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""Seconds; of all GenAI durations."""
TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
"""Tokens: 1, 4, 16 ... 67,108,864."""
HTTP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds; the advice of the stable HTTP conventions."""

OTHER: Final = "other"
"""Label value of everything beyond a bounded set."""
ERROR_OTHER: Final = "_OTHER"
"""``error.type`` of a failure without a better name (OpenTelemetry's own fallback)."""

PROVIDER_NAMES: Final = MappingProxyType(
    {
        "azure": "azure.ai.openai",
        "bedrock": "aws.bedrock",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "moonshot": "moonshot_ai",
        "vertex": "gcp.vertex_ai",
        "watsonx": "ibm.watsonx.ai",
        "xai": "x_ai",
    }
)
"""Our provider name -> ``gen_ai.provider.name``, where they differ; any other name is used as it is."""
