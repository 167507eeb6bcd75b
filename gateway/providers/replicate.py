"""Replicate."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="replicate",
    title="Replicate",
    otel_name="replicate",
    price_as="replicate",
    base_url="https://api.replicate.com",
    credential=Credential(env="REPLICATE_API_TOKEN"),
    sdk_base="/replicate",
    sdk_env="REPLICATE_API_BASE_URL",
)
