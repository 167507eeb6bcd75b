"""Perplexity. Its chat also has a path of its own name."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

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
    rules=(WireRule(re.compile(r"/v1/sonar/?$"), "openai_chat"),),
)
