"""Hugging Face."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="huggingface",
    title="Hugging Face",
    otel_name="huggingface",
    price_as="huggingface",
    base_url="https://router.huggingface.co",
    credential=Credential(env="HF_TOKEN"),
    sdk_base="/huggingface/v1",
    sdk_env="OPENAI_BASE_URL",
)
