"""Prompts and answers through the whole gateway: kept where it is switched on, and nowhere else; calls never notice."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.bodies import openai_chat, openai_events
from rig.client import WAIT, call
from rig.gateway import gateway
from rig.script import fin, reply, sse
from rig.upstream import ScriptedUpstream

from gateway.app import Gateway
from storage.contents.keep import content_of
from storage.contents.model import Content
from storage.control import ControlDatabase, ControlUnavailable, control_of

CHAT = "/openai/v1/chat/completions"
PROMPT = "the planted question of ada@lovelace.example"
ANSWER = "the planted answer of forty tonnes"
ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}], "user": "ada"}
EVENTS = openai_events(tuple(f"{word} " for word in ANSWER.split()))


async def until(met: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(WAIT):
        while not (found := await met()):
            await asyncio.sleep(0.02)
    return found


async def content(running: Gateway, answer: Any) -> Content:
    control = control_of(running._address)
    try:
        found: Content = await until(lambda: look(control, answer.header("x-weighbridge-request-id")))
    finally:
        await control.close()
    return found


async def look(control: ControlDatabase, id_: str) -> Content | None:
    try:
        return await content_of(control, id_)
    except ControlUnavailable:  # the first migration is not through yet
        return None


def kept(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "weighbridge.db")) as db:
        return db.execute("SELECT * FROM call_contents").fetchall()


async def test_a_call_and_a_stream(upstream: ScriptedUpstream, tmp_path: Path, database: str) -> None:
    upstream.play(reply(json=openai_chat(text=ANSWER)), sse(EVENTS))
    sections: dict[str, Any] = {
        "capture": {"content": "full"},
        "storage": {"data_dir": tmp_path, "url": database},
    }
    async with gateway(tmp_path, upstream.base, **sections) as running:
        plain = await call(running.port, "POST", CHAT, [("x-weighbridge-team", "yard")], json=ASK)
        found = await content(running, plain)
        assert (found.tenant, found.team, found.user) == ("default", "yard", "ada")
        assert json.loads(found.request.text or "") == ASK
        assert (found.answer.text, found.answer.size) == (ANSWER, len(plain.body))
        streamed = await call(running.port, "POST", CHAT, json={**ASK, "stream": True})
        again = await content(running, streamed)
        assert (again.answer.text, again.answer.cut) == (f"{ANSWER} ", False)
        assert again.answer.digest == found.answer.digest
        assert again.request.digest == found.request.digest
        await until(lambda: _seen(running, 2))
    assert running.defects.counts == {}


async def _seen(running: Gateway, count: int) -> bool:
    return running.keeper.stats.kept == count


async def test_nothing_is_kept_by_default_nor_where_a_header_says_so(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.default = reply(json=openai_chat(text=ANSWER))
    async with gateway(tmp_path / "default", upstream.base) as running:
        await call(running.port, "POST", CHAT, [("x-weighbridge-capture", "full")], json=ASK)
    assert kept(tmp_path / "default") == []
    headers = [
        ("x-weighbridge-capture", "none"),
        ("cf-aig-collect-log-payload", "false"),
        ("x-litellm-enable-message-redaction", "true"),
    ]
    async with gateway(tmp_path / "full", upstream.base, capture={"content": "full"}) as running:
        for header in headers:
            await call(running.port, "POST", CHAT, [header], json=ASK)
        await call(running.port, "POST", CHAT, [("helicone-omit-request", "true")], json=ASK)
        left = [seen.head.get(name) for seen in upstream.requests for name, _ in headers]
        assert set(left) == {None}, "such headers end here"
    (row,) = kept(tmp_path / "full")
    assert "planted question" not in str(row)
    assert ANSWER in str(row)


async def test_redacted_and_hashed_hold_less(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.default = reply(json=openai_chat(text=PROMPT))
    async with gateway(tmp_path, upstream.base, capture={"content": "redacted"}) as running:
        redacted = await content(running, await call(running.port, "POST", CHAT, json=ASK))
        header = ("x-weighbridge-capture", "hash")
        hashed = await content(running, await call(running.port, "POST", CHAT, [header], json=ASK))
    assert redacted.answer.text == "the planted question of [EMAIL]"
    assert '"user":"[USER]"' in str(redacted.request.text)
    assert (hashed.request.text, hashed.answer.text) == (None, None)
    assert hashed.request.digest == redacted.request.digest
    assert (tmp_path / "capture.key").stat().st_mode & 0o777 == 0o600


async def test_a_compressed_request_is_kept_inflated_and_passes_as_it_is(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.default = reply(json=openai_chat(text=ANSWER))
    packed = gzip.compress(json.dumps(ASK).encode())
    lines = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
    async with gateway(tmp_path, upstream.base, capture={"content": "full"}) as running:
        found = await content(running, await call(running.port, "POST", CHAT, lines, packed))
    assert upstream.requests[0].body == packed
    assert upstream.requests[0].head.get("content-encoding") == "gzip"
    assert json.loads(found.request.text or "") == ASK
    assert (found.request.size, found.user, found.answer.text) == (len(packed), "ada", ANSWER)


async def test_a_cut_stream_is_kept_as_far_as_it_came(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.play(sse(EVENTS[:4], then=fin()))
    async with gateway(tmp_path, upstream.base, capture={"content": "full"}) as running:
        cut = await call(running.port, "POST", CHAT, json={**ASK, "stream": True})
        assert not cut.complete
        assert (await content(running, cut)).answer.text == "the planted answer "


async def test_content_is_in_its_table_and_nowhere_else(
    upstream: ScriptedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.default = reply(json=openai_chat(text=ANSWER))
    caplog.set_level(0)
    async with gateway(tmp_path, upstream.base, capture={"content": "full"}) as running:
        answer = await call(running.port, "POST", CHAT, json=ASK)
        await content(running, answer)
        async with aiohttp.ClientSession(running.url) as session:
            for path in ("/api/calls", "/metrics", "/api/integrity", "/api/audit"):
                assert "planted" not in await (await session.get(path)).text()
            shown = await session.get(f"/api/calls/{answer.header('x-weighbridge-request-id')}/content")
            assert (await shown.json())["answer"]["text"] == ANSWER
            log = await (await session.get("/api/audit?action=content")).json()
            assert [line["action"] for line in log["items"]] == ["content.read"]
    with closing(sqlite3.connect(tmp_path / "weighbridge.db")) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        holding = {
            name for name in tables if "planted" in str(db.execute(f"SELECT * FROM {name}").fetchall())
        }
    assert holding == {"call_contents"}
    assert "planted" not in caplog.text
    files = {
        path.name
        for path in (tmp_path / "spool").rglob("*")
        if path.is_file() and b"planted" in path.read_bytes()
    }
    assert files == set()


async def test_a_database_that_is_away_costs_contents_and_no_call(
    upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.FLUSH_SECONDS", 0.3)  # nothing can be written, however long it is tried
    upstream.default = reply(json=openai_chat(text=ANSWER))
    sections: dict[str, Any] = {
        "capture": {"content": "full", "queue_bytes": 65_536},
        "storage": {"data_dir": tmp_path, "url": "postgresql://nobody@127.0.0.1:1/none"},
    }
    async with gateway(tmp_path, upstream.base, **sections) as running:
        big = {**ASK, "messages": [{"role": "user", "content": "word " * 4_000}]}
        for _ in range(5):
            assert (await call(running.port, "POST", CHAT, json=big)).status == 200
        stats = running.keeper.stats
        assert (stats.kept, stats.failed) == (0, 0)
        assert stats.dropped >= 2
        assert stats.dropped + stats.waiting == 5
        held = running.keeper._held
        assert 0 < held <= 65_536
    assert running.keeper.stats.dropped == 5


async def test_what_nothing_can_be_made_of_is_counted_and_the_call_goes_on(
    upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.default = reply(json=openai_chat(text=ANSWER))

    def fails(self: object, one: object) -> None:
        raise RuntimeError("made up")

    async with gateway(tmp_path, upstream.base, capture={"content": "full"}) as running:
        monkeypatch.setattr("gateway.capturing.content.ContentMaker.make", fails)
        assert (await call(running.port, "POST", CHAT, json=ASK)).status == 200
        monkeypatch.setattr("gateway.capturing.keeper.Captured", None)
        assert (await call(running.port, "POST", CHAT, json=ASK)).status == 200

        async def counted() -> bool:
            return running.keeper.stats.failed == 2

        await until(counted)
        assert running.keeper.stats.waiting == running.keeper._held == 0
    assert sum(running.defects.counts.values()) == 2


async def test_what_waits_is_written_at_the_end(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.default = reply(json=openai_chat(text=ANSWER))
    async with gateway(tmp_path, upstream.base, capture={"content": "full"}) as running:
        for _ in range(40):
            await call(running.port, "POST", CHAT, json=ASK)
    assert len(kept(tmp_path)) == running.keeper.stats.kept == 40
