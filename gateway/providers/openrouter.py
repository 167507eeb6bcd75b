"""OpenRouter."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="openrouter",
    title="OpenRouter",
    otel_name="openrouter",
    price_as="openrouter",
    base_url="https://openrouter.ai",
    credential=Credential(env="OPENROUTER_API_KEY"),
    sdk_base="/openrouter/api/v1",
    sdk_env="OPENAI_BASE_URL",
    reports_stream_usage=True,
)
