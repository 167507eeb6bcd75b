"""DeepSeek."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="deepseek",
    title="DeepSeek",
    otel_name="deepseek",
    price_as="deepseek",
    base_url="https://api.deepseek.com",
    credential=Credential(env="DEEPSEEK_API_KEY"),
    sdk_base="/deepseek/v1",
    sdk_env="OPENAI_BASE_URL",
    reports_stream_usage=True,
)
