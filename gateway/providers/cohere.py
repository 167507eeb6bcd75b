"""Cohere."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="cohere",
    title="Cohere",
    otel_name="cohere",
    price_as="cohere",
    base_url="https://api.cohere.com",
    credential=Credential(env="CO_API_KEY"),
    sdk_base="/cohere",
    sdk_env="CO_API_URL",
)
