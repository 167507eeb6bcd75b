"""Anthropic. Its SDK adds ``/v1/messages`` to the base URL; an OAuth token in ``Authorization`` passes."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="anthropic",
    title="Anthropic",
    otel_name="anthropic",
    price_as="anthropic",
    base_url="https://api.anthropic.com",
    credential=Credential(header="x-api-key", prefix="", env="ANTHROPIC_API_KEY"),
    bare=("/v1/messages", "/v1/complete"),
    sdk_base="/anthropic",
    sdk_env="ANTHROPIC_BASE_URL",
)
