"""Perplexity."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="perplexity",
    title="Perplexity",
    otel_name="perplexity",
    price_as="perplexity",
    base_url="https://api.perplexity.ai",
    credential=Credential(env="PERPLEXITY_API_KEY"),
    sdk_base="/perplexity",
    sdk_env="PERPLEXITY_BASE_URL",
    reports_stream_usage=True,
)
