"""A worker that leaves the port to its successor: kept connections are used once more or closed, and it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rig.bodies import openai_chat
from rig.client import RawClient
from rig.gateway import gateway
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway import app

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "gpt-4o", "messages": []}


async def test_a_kept_connection_is_told_with_its_answer_or_closed_when_none_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LAST_REQUEST_SECONDS", 0.5)
    async with (
        ScriptedUpstream(reply(json=openai_chat())) as upstream,
        gateway(tmp_path, upstream.base) as retired,
        asyncio.timeout(10),
    ):
        used, quiet = [await RawClient.open(retired.port) for _ in range(2)]
        for client in (used, quiet):
            client.request("POST", CHAT, json=ASK)
            assert (await client.answer()).header("connection") is None
        end = asyncio.create_task(retired.retire(asyncio.Event()))
        await asyncio.sleep(0)
        used.request("POST", CHAT, json=ASK)
        assert (await used.answer()).header("connection") == "close"
        await quiet.ended.wait()
        await end
