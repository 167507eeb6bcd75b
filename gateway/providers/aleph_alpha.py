"""Aleph Alpha."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="aleph_alpha",
    title="Aleph Alpha",
    otel_name="aleph_alpha",
    price_as="aleph_alpha",
    base_url="https://api.aleph-alpha.com",
    credential=Credential(env="AA_TOKEN"),
    sdk_base="/aleph_alpha",
    sdk_env=None,
)
