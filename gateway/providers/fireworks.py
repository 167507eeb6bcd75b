"""Fireworks AI."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="fireworks",
    title="Fireworks AI",
    otel_name="fireworks",
    price_as="fireworks",
    base_url="https://api.fireworks.ai",
    credential=Credential(env="FIREWORKS_API_KEY"),
    sdk_base="/fireworks/inference/v1",
    sdk_env="OPENAI_BASE_URL",
)
