"""Google's Gemini API. The key rides in ``x-goog-api-key`` or in ``?key=``, kept out of every record."""

from gateway.providers.contract import Credential, Provider

PROVIDER = Provider(
    name="gemini",
    title="Google Gemini API",
    otel_name="gcp.gemini",
    price_as="google",
    base_url="https://generativelanguage.googleapis.com",
    credential=Credential(header="x-goog-api-key", prefix="", env="GEMINI_API_KEY", query="key"),
    bare=("/v1beta", "/v1alpha", "/upload/v1beta"),
    sdk_base="/gemini",
    sdk_env="GOOGLE_GEMINI_BASE_URL",
    reports_stream_usage=True,
)
