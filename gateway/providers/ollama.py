"""Ollama, on this machine unless ``base_url`` says otherwise. Takes no key; has no list price.

It has no bare form: ``/api`` is the gateway's own.
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="ollama",
    title="Ollama",
    otel_name="ollama",
    price_as="ollama",
    base_url="http://127.0.0.1:11434",
    credential=Credential(),
    sdk_base="/ollama",
    sdk_env="OLLAMA_HOST",
)
