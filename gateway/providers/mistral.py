"""Mistral AI. Its conversations are on paths where OpenAI's, which cost nothing, are too; its agents answer as chats
do."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="mistral",
    title="Mistral AI",
    otel_name="mistral_ai",
    price_as="mistral",
    base_url="https://api.mistral.ai",
    credential=Credential(env="MISTRAL_API_KEY"),
    sdk_base="/mistral/v1",
    sdk_env=None,
    reports_stream_usage=True,
    rules=(
        WireRule(re.compile(r"/v1/agents/completions/*$"), "openai_chat", "POST"),
        WireRule(
            re.compile(r"/v1/conversations(?:/[^/]+(?:/restart)?)?/*$"), "mistral_conversations", "POST"
        ),
    ),
)
