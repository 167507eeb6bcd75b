"""Calls that the gateway signs for AWS in the app's place."""

from __future__ import annotations

from typing import Any

import pytest
from rig.client import call
from rig.core import Core, LaneKind
from rig.upstream import ScriptedUpstream

from gateway.proxy import Limits

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def settings(**more: Any) -> dict[str, Any]:
    return {"providers": {"bedrock": {"aws_region": "eu-central-1", **more}}}


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


@pytest.mark.usefixtures("_credentials")
async def test_the_apps_own_signature_stays_here(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with Core(upstream.base, lane, settings=settings(base_url=upstream.base)) as core:
        own = [
            ("Authorization", "AWS4-HMAC-SHA256 Credential=APP/x"),
            ("X-Amz-Date", "20200101T000000Z"),
            ("X-Keep", "1"),
        ]
        answer = await call(core.port, "POST", "/bedrock/model/a.b%3A0/converse", own, b"{}")
        assert answer.status == 200
        raw = upstream.requests[0].head.raw
        assert raw.count(b"Authorization: ") == 1
        assert b"Credential=AKIDEXAMPLE/" in raw
        assert b"APP/x" not in raw
        assert raw.lower().count(b"x-amz-date: ") == 1
        assert b"X-Keep: 1" in raw
        assert SECRET.encode() not in raw


@pytest.mark.usefixtures("_credentials")
async def test_a_bearer_key_passes_as_it_is(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    async with Core(upstream.base, lane, settings=settings(base_url=upstream.base)) as core:
        own = [("Authorization", "Bearer bedrock-api-key-x")]
        await call(core.port, "POST", "/bedrock/model/a/converse", own, b"{}")
        raw = upstream.requests[0].head.raw
        assert b"Authorization: Bearer bedrock-api-key-x" in raw
        assert b"AWS4" not in raw


@pytest.mark.usefixtures("_credentials")
async def test_what_is_too_large_to_be_held_is_refused(upstream: ScriptedUpstream, lane: LaneKind) -> None:
    limits = Limits(1000, 1 << 30, 16384)
    async with Core(upstream.base, lane, limits=limits, settings=settings(base_url=upstream.base)) as core:
        answer = await call(core.port, "POST", "/bedrock/model/a/converse", [], b"x" * 600_000)
        assert answer.status == 413
        assert b"hold_body_bytes" in answer.body
        assert not upstream.requests
