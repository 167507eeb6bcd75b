"""Writer. Its ``/v1/chat`` speaks OpenAI's chat wire."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="writer",
    title="Writer",
    otel_name="writer",
    price_as="writer",
    base_url="https://api.writer.com",
    credential=Credential(env="WRITER_API_KEY"),
    rules=(WireRule(re.compile(r"/v1/chat/?$"), "openai_chat"),),
    sdk_base="/writer",
    sdk_env="WRITER_BASE_URL",
)
