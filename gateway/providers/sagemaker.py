"""Amazon SageMaker endpoints, billed by the hour and so not priced per call.

Set ``base_url`` to the region's host (``https://runtime.sagemaker.REGION.amazonaws.com``). A SigV4 signature
covers the host name, as for Bedrock.
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="sagemaker",
    title="Amazon SageMaker endpoints",
    otel_name="aws.sagemaker",
    price_as="sagemaker",
    base_url=None,
    credential=Credential(),
    sdk_base="/sagemaker",
)
