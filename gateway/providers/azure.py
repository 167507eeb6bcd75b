"""Azure OpenAI. Every resource has a host of its own, so ``base_url`` must be set.

``price_as`` is Azure's own list; the answered model is a dated name, deployments go into ``pricing.aliases``.
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="azure",
    title="Azure OpenAI",
    otel_name="azure.ai.openai",
    price_as="azure",
    base_url=None,
    credential=Credential(header="api-key", prefix="", env="AZURE_OPENAI_API_KEY"),
    sdk_base="/azure",
    sdk_env="AZURE_OPENAI_ENDPOINT",
)
