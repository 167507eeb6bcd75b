"""Writer."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="writer",
    title="Writer",
    otel_name="writer",
    price_as="writer",
    base_url="https://api.writer.com",
    credential=Credential(env="WRITER_API_KEY"),
    sdk_base="/writer",
    sdk_env="WRITER_BASE_URL",
)
