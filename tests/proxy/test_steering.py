"""Nothing an app sends chooses the host or leads out of the provider's base path."""

from __future__ import annotations

import pytest
from rig.client import RawClient, call
from rig.core import Core, LaneKind
from rig.script import redirect
from rig.upstream import ScriptedUpstream

KEY = {"openai": (b"Authorization", b"Bearer configured-key-of-the-gateway")}

STEERING = [
    ("Host", "evil.test"),
    ("X-Forwarded-Host", "evil.test"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Server", "evil.test"),
    ("Forwarded", "host=evil.test;proto=https"),
    ("X-Original-URL", "/evil"),
    ("X-Rewrite-URL", "/evil"),
    ("X-Host", "evil.test"),
    ("Proxy-Host", "evil.test"),
    ("x-weighbridge-provider", "evil"),
    ("x-weighbridge-base-url", "http://evil.test"),
    ("Helicone-Target-Url", "http://evil.test"),
]


@pytest.mark.parametrize(("name", "value"), STEERING, ids=[name for name, _ in STEERING])
async def test_no_header_chooses_the_host(
    core: Core, upstream: ScriptedUpstream, name: str, value: str
) -> None:
    client = await RawClient.open(core.port)
    host = value if name == "Host" else "gateway.test"
    extra = "" if name == "Host" else f"{name}: {value}\r\n"
    client.send(
        f"POST /openai/v1/x HTTP/1.1\r\nHost: {host}\r\n{extra}Content-Length: 2\r\n\r\n{{}}".encode()
    )
    assert (await client.answer()).status == 200
    seen = upstream.requests[0]
    assert seen.head.all("host") == [upstream.base.removeprefix("http://")]
    assert seen.target == "/v1/x"


async def test_no_body_chooses_the_host(core: Core, upstream: ScriptedUpstream) -> None:
    body = {
        "model": "gpt-4o",
        "base_url": "http://evil.test",
        "api_base": "http://evil.test",
        "host": "evil.test",
    }
    assert (await call(core.port, "POST", "/openai/v1/chat/completions", json=body)).status == 200
    assert len(upstream.requests) == 1


ESCAPES = [
    "/openai/../x",
    "/openai/./../x",
    "/openai/v1/../../x",
    "/openai/v1/../../../x",
    "/openai/%2e%2e/x",
    "/openai/%2E./x",
    "/openai/.%2e/x",
    "/openai/v1/%2e%2e%2f%2e%2e/x",
    "/openai/v1/..%2f../x",
    "/openai/v1/..%5c..%5c../x",
    "/openai/v1/..\\..\\x",
    "/openai/\\..\\x",
    "/openai/%252e%252e/x",
    "/openai/%25252e%25252e/x",
    "/openai/v1/..;/..;/x",
    "/openai/v1/..;a=b/..;a=b/x",
    "/openai//../x",
    "/openai/v1//../../x",
    "/openai/%2f../x",
    "/openai/v1/%2e%2e/%2e%2e?x=1",
    "//openai/v1/x",
    "//evil.test/openai/v1/x",
    "///evil.test",
    "/\\evil.test/x",
    "http://evil.test/openai/v1/x",
    "https://evil.test",
    "HTTP://evil.test/openai/v1/x",
    "evil.test/openai/v1/x",
    "@evil.test/openai/v1/x",
    "/openai@evil.test/v1/x",
    "/openai:80@evil.test/x",
    "/openai%2f..%2f..%2fx",
    "*",
]


@pytest.mark.parametrize("target", ESCAPES)
async def test_no_path_leaves_the_base_path(upstream: ScriptedUpstream, lane: LaneKind, target: str) -> None:
    settings = {"providers": {"openai": {"base_url": upstream.base + "/tenant/seven"}}}
    async with Core(upstream.base, lane, settings=settings, keys=KEY) as core:
        client = await RawClient.open(core.port)
        client.send(f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode("latin-1"))
        core.advance(0)
        assert (await client.answer("GET")).status in (400, 404)
        assert upstream.requests == []


INSIDE = [
    ("/openai/v1/a/../b", "/tenant/seven/v1/a/../b"),
    ("/openai/v1/files/a%2Fb", "/tenant/seven/v1/files/a%2Fb"),
    ("/openai//v1/x", "/tenant/seven//v1/x"),
    ("/openai/v1/x//evil.test", "/tenant/seven/v1/x//evil.test"),
    ("/openai/http://evil.test/x", "/tenant/seven/http://evil.test/x"),
    ("/openai/@evil.test/", "/tenant/seven/@evil.test/"),
    ("/openai/v1/x?next=../../..//evil.test", "/tenant/seven/v1/x?next=../../..//evil.test"),
    ("/openai", "/tenant/seven"),
]


@pytest.mark.parametrize(("target", "sent"), INSIDE)
async def test_odd_paths_stay_below_the_base_path(
    upstream: ScriptedUpstream, lane: LaneKind, target: str, sent: str
) -> None:
    settings = {"providers": {"openai": {"base_url": upstream.base + "/tenant/seven"}}}
    async with Core(upstream.base, lane, settings=settings, keys=KEY) as core:
        assert (await call(core.port, "GET", target)).status == 200
        assert upstream.requests[0].target == sent


async def test_a_configured_key_goes_to_its_own_provider_only(
    upstream: ScriptedUpstream, lane: LaneKind
) -> None:
    async with Core(upstream.base, lane, keys=KEY) as core:
        for path in ("/openai/v1/x", "/anthropic/v1/messages", "/v1/messages"):
            await call(core.port, "POST", path, json={})
        keys = [seen.header("authorization") for seen in upstream.requests]
        assert keys == [KEY["openai"][1].decode(), None, None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_apps_to_follow(core: Core, upstream: ScriptedUpstream, status: int) -> None:
    async with ScriptedUpstream() as elsewhere:
        upstream.play(redirect(elsewhere.base + "/steal", status))
        headers = [("Authorization", "Bearer the-app's-own-key")]
        answer = await call(core.port, "POST", "/openai/v1/x", headers, json={})
        assert (answer.status, answer.header("location")) == (status, elsewhere.base + "/steal")
        assert elsewhere.requests == []
        assert len(upstream.requests) == 1
