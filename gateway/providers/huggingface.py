"""Hugging Face. Beside the OpenAI wire under ``/v1/``, inference endpoints have one of their own on any path."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="huggingface",
    title="Hugging Face",
    otel_name="huggingface",
    price_as="huggingface",
    base_url="https://router.huggingface.co",
    credential=Credential(env="HF_TOKEN"),
    rules=(WireRule(re.compile(r"^(?!.*/v1/)"), "huggingface"),),
    sdk_base="/huggingface/v1",
    sdk_env="OPENAI_BASE_URL",
)
