"""Cerebras."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="cerebras",
    title="Cerebras",
    otel_name="cerebras",
    price_as="cerebras",
    base_url="https://api.cerebras.ai",
    credential=Credential(env="CEREBRAS_API_KEY"),
    sdk_base="/cerebras",
    sdk_env="CEREBRAS_BASE_URL",
)
