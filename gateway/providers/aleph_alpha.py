"""Aleph Alpha. One completion call."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="aleph_alpha",
    title="Aleph Alpha",
    otel_name="aleph_alpha",
    price_as="aleph_alpha",
    base_url="https://api.aleph-alpha.com",
    credential=Credential(env="AA_TOKEN"),
    rules=(WireRule(re.compile(r"/complete$"), "aleph_alpha"),),
    sdk_base="/aleph_alpha",
    sdk_env=None,
)
