"""IBM watsonx.ai. Hosts are regional (``https://us-south.ml.cloud.ibm.com``): set ``base_url``.

The SDK trades its key for a short-lived token by itself.
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="watsonx",
    title="IBM watsonx.ai",
    otel_name="ibm.watsonx.ai",
    price_as="watsonx",
    base_url=None,
    credential=Credential(),
    sdk_base="/watsonx",
    sdk_env="WATSONX_URL",
)
