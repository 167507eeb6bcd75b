"""Google's Gemini API. The key rides in ``x-goog-api-key`` or in ``?key=``, kept out of every record. Its batches are on
paths where OpenAI's are too."""

import re

from gateway.providers.contract import Credential, Provider, WireRule

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
    rules=(WireRule(re.compile(r"/v1(?:alpha|beta)?/batches/[^/]+/*$"), "gemini_batches"),),
)
