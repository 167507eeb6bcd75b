"""Google Vertex AI. The default host serves the location ``global``; a region's host goes into ``base_url``.

Apps send a short-lived access token; there is no key to configure. An express-mode key may ride in ``?key=``.
"""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="vertex",
    title="Google Vertex AI",
    otel_name="gcp.vertex_ai",
    price_as="google",
    base_url="https://aiplatform.googleapis.com",
    credential=Credential(query="key"),
    bare=("/v1/projects", "/v1beta1/projects", "/v1/publishers", "/v1beta1/publishers"),
    sdk_base="/vertex",
    sdk_env="GOOGLE_VERTEX_BASE_URL",
)
