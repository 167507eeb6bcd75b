"""Hugging Face. Beside the OpenAI wire, inference endpoints have one of their own on any path.

The router puts a seller in front (``/novita/chat/completions``), whose version is not always ``/v1/``.
"""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="huggingface",
    title="Hugging Face",
    otel_name="huggingface",
    price_as="huggingface",
    base_url="https://router.huggingface.co",
    credential=Credential(env="HF_TOKEN"),
    rules=(
        WireRule(
            re.compile(r"^(?!.*/v1/)(?!.*/(?:chat/completions|embeddings|images/generations)/*$)"),
            "huggingface",
            "POST",
        ),
    ),
    sdk_base="/huggingface/v1",
    sdk_env="OPENAI_BASE_URL",
)
