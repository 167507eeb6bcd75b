"""OpenAI. Gets bare ``/v1/...`` paths too, unless ``proxy.default_provider`` names another."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="openai",
    title="OpenAI",
    otel_name="openai",
    price_as="openai",
    base_url="https://api.openai.com",
    credential=Credential(env="OPENAI_API_KEY"),
    sdk_base="/openai/v1",
    sdk_env="OPENAI_BASE_URL",
)
