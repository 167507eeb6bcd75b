"""AWS Bedrock. Hosts are regional (``https://bedrock-runtime.REGION.amazonaws.com``): set ``base_url``.

Bearer API keys pass. A SigV4 signature covers the host name the app called, so the region's host refuses it: with
``aws_region`` and AWS credentials in the environment the gateway signs in the app's place (``gateway/signing.py``).

Agents have hosts of their own (``https://bedrock-agent-runtime.REGION.amazonaws.com``): a section with ``kind = "bedrock"``.
"""

import re

from gateway.providers.contract import Credential, Provider, WireRule

PROVIDER = Provider(
    name="bedrock",
    title="AWS Bedrock",
    otel_name="aws.bedrock",
    price_as="aws",
    base_url=None,
    credential=Credential(env="AWS_BEARER_TOKEN_BEDROCK"),
    bare=("/model",),
    aws_service="bedrock",
    sdk_base="/bedrock",
    sdk_env="ANTHROPIC_BEDROCK_BASE_URL",
    # With a slash behind it, an agent is made ready (``PrepareAgent``), which costs nothing.
    rules=(WireRule(re.compile(r"/agents/[^/]+$"), "bedrock_agent", "POST"),),
)
