"""Amazon SageMaker endpoints, billed by the hour and so not priced per call.

Set ``base_url`` to the region's host (``https://runtime.sagemaker.REGION.amazonaws.com``). Signed as
Bedrock's are (``aws_region``).
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="sagemaker",
    title="Amazon SageMaker endpoints",
    otel_name="aws.sagemaker",
    price_as="sagemaker",
    base_url=None,
    credential=Credential(),
    aws_service="sagemaker",
    sdk_base="/sagemaker",
)
