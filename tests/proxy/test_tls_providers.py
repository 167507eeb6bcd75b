"""Providers are spoken to over TLS, and only to those that somebody trusted vouches for."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from rig.authority import Authority
from rig.bodies import openai_chat, openai_events
from rig.client import call
from rig.core import Core, LaneKind
from rig.process import serving
from rig.script import reply, sse
from rig.upstream import ScriptedUpstream

from telemetry.outcome import Outcome

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o", "max_tokens": 50}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by the gateway, as one would have it trust a company's own."""
    found = Authority(tmp_path)
    _trust(found, monkeypatch)
    return found


def _trust(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


async def test_calls_over_tls(authority: Authority, lane: LaneKind) -> None:
    """A whole answer, a stream and a whole one again, over one connection."""
    chat = openai_chat()
    async with (
        ScriptedUpstream(reply(json=chat), ssl=authority.server()) as upstream,
        Core(upstream.base, lane) as core,
    ):
        whole = await call(core.port, "POST", CHAT, json=ASK)
        upstream.play(sse(openai_events()))
        stream = await call(core.port, "POST", CHAT, json=STREAM)
        again = await call(core.port, "POST", CHAT, json=ASK)
        await core.record(3)
    assert upstream.base.startswith("https://")
    assert whole.json() == again.json() == chat
    assert stream.body == b"".join(openai_events())
    assert [record.outcome for record in core.records] == [Outcome.COMPLETED] * 3
    assert len(upstream.peers) == 1


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_provider_nobody_vouches_for(
    authority: Authority, lane: LaneKind, trusted: bool, tmp_path: Path
) -> None:
    """A stranger's certificate, or one of our own authority for somebody else: the call, with its key, stays here."""
    if trusted:
        shown = authority.server("127.0.0.2")
    else:
        (tmp_path / "stranger").mkdir()
        shown = Authority(tmp_path / "stranger").server()
    async with ScriptedUpstream(ssl=shown) as upstream, Core(upstream.base, lane) as core:
        await _is_refused(core, upstream)


async def test_an_authority_that_does_not_go_by_the_book(
    lane: LaneKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificates lack what RFC 5280 asks for. Python has looked at that since 3.13 (docs/operation.md), and what
    it thinks of a certificate is not for a gateway to overrule."""
    authority = Authority(tmp_path, by_the_book=False)
    _trust(authority, monkeypatch)
    async with ScriptedUpstream(ssl=authority.server()) as upstream, Core(upstream.base, lane) as core:
        if sys.version_info >= (3, 13):
            await _is_refused(core, upstream)
        else:
            assert (await call(core.port, "POST", CHAT, json=ASK)).status == 200


async def _is_refused(core: Core, upstream: ScriptedUpstream) -> None:
    answer = await call(core.port, "POST", CHAT, json=ASK)
    assert answer.status == 502
    assert "TLS handshake failed" in answer.json()["error"]["message"]
    assert (await core.record()).outcome is Outcome.CONNECT_FAILED
    assert upstream.requests == []


@pytest.mark.parametrize("uvloop", [True, False])
async def test_a_gateway_of_its_own(authority: Authority, tmp_path: Path, uvloop: bool) -> None:
    """With the loop it is served by: the tests' own is another."""
    folder = tmp_path / "gateway"
    folder.mkdir()
    environ = {"SSL_CERT_FILE": str(authority.trusted), "WEIGHBRIDGE_SERVER__UVLOOP": str(uvloop).lower()}
    async with ScriptedUpstream(reply(json=openai_chat()), ssl=authority.server()) as upstream:
        with serving(folder, upstream.base, environ=environ) as gateway:
            port = await asyncio.to_thread(gateway.started)
            answer = await call(port, "POST", CHAT, json=ASK)
            upstream.play(sse(openai_events()))
            stream = await call(port, "POST", CHAT, json=STREAM)
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            assert answer.json() == openai_chat()
            assert stream.body == b"".join(openai_events())
            assert [row[1] for row in gateway.rows()] == ["completed", "completed"]
