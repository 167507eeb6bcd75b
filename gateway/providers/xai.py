"""xAI."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="xai",
    title="xAI",
    otel_name="x_ai",
    price_as="x-ai",
    base_url="https://api.x.ai",
    credential=Credential(env="XAI_API_KEY"),
    sdk_base="/xai/v1",
    sdk_env="OPENAI_BASE_URL",
    reports_stream_usage=True,
)
