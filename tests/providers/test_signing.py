"""Requests signed for AWS: the same signature as AWS's own library makes, in place of the app's."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.providers.table import ProviderTable
from gateway.settings import SettingsError, load
from gateway.signing import Signer

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+x=="
NOW = datetime(2026, 11, 20, 12, 34, 56, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9
HOST = b"bedrock-runtime.eu-central-1.amazonaws.com"


def ours(method: str, target: bytes, body: bytes, token: str | None = None) -> dict[str, str]:
    signer = Signer(
        KEY, SecretStr(SECRET), SecretStr(token) if token else None, region="eu-central-1", service="bedrock"
    )
    lines = signer.lines(method, target, HOST, body, NOW_NS).decode().removesuffix("\r\n").split("\r\n")
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def theirs(method: str, target: bytes, body: bytes, token: str | None, digest: str) -> str:
    request = AWSRequest(method=method, url=f"https://{HOST.decode()}{target.decode()}", data=body)
    request.headers["X-Amz-Content-SHA256"] = digest
    with patch("botocore.auth.get_current_datetime", return_value=NOW):
        SigV4Auth(Credentials(KEY, SECRET, token), "bedrock", "eu-central-1").add_auth(request)
    signed: str = request.headers["Authorization"]
    return signed


SEGMENT = st.sampled_from(["", ".", ".."]) | st.text("abcXYZ019-._~:%", max_size=12).map(
    lambda text: text.replace("%", "%3A")
)
PATHS = st.lists(SEGMENT, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.lists(
    st.tuples(
        st.text("abz09-", min_size=1, max_size=4),
        st.text("abz09%", max_size=4).map(lambda t: t.replace("%", "%20")),
    ),
    max_size=4,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@example("POST", "/model/.", "", b"", None)
@example("POST", "/model//a/./../b/", "", b"", None)
@given(
    st.sampled_from(["POST", "GET"]), PATHS, QUERIES, st.binary(max_size=60), st.sampled_from([None, TOKEN])
)
def test_the_signature_is_botocores(
    method: str, path: str, query: str, body: bytes, token: str | None
) -> None:
    target = (f"{path}?{query}" if query else path).encode()
    made = ours(method, target, body, token)
    assert made["authorization"] == theirs(method, target, body, token, made["x-amz-content-sha256"])
    assert made["x-amz-date"] == "20261120T123456Z"
    assert made.get("x-amz-security-token") == token


def test_missing_credentials_and_other_providers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(SettingsError, match="aws_region"):
        ProviderTable.build(
            load(
                None, {"providers": {"bedrock": {"base_url": "https://b.test", "aws_region": "eu-central-1"}}}
            )
        )
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(SettingsError, match="aws_region"):
        ProviderTable.build(load(None, {"providers": {"openai": {"aws_region": "eu-central-1"}}}))
