"""Groq."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="groq",
    title="Groq",
    otel_name="groq",
    price_as="groq",
    base_url="https://api.groq.com",
    credential=Credential(env="GROQ_API_KEY"),
    sdk_base="/groq",
    sdk_env="GROQ_BASE_URL",
    reports_stream_usage=True,
)
