"""Together AI."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="together",
    title="Together AI",
    otel_name="together",
    price_as="together",
    base_url="https://api.together.xyz",
    credential=Credential(env="TOGETHER_API_KEY"),
    sdk_base="/together/v1",
    sdk_env="TOGETHER_BASE_URL",
)
