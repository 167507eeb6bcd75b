"""A person is erased while workers take their calls: afterwards nothing names them anywhere, and no sum has changed."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.bodies import OPENAI_USAGE, openai_chat, openai_events
from rig.client import RawClient
from rig.connection import Peer, Seen
from rig.house import House
from rig.process import free_port, serving
from rig.rollups import engine_of
from rig.script import reply, sse
from rig.upstream import ScriptedUpstream

from storage.address import parse
from storage.budgets import admin
from storage.budgets.model import Budget, Mode, Window
from storage.control import control_of
from storage.migrate import migrate
from storage.rollups.compaction import compact
from storage.rollups.verify import verify

ADA = "ada@lovelace.example"
BOB = "bob"
CHAT = "/openai/v1/chat/completions"
MORE = 25
"""Calls of each client after the erasure."""
CAPTURE = '[capture]\ncontent = "full"\n[quality]\nstore_comments = true\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.db"
    return str(request.getfixturevalue("empty_postgres"))


async def _provider(peer: Peer, seen: Seen) -> None:
    await peer.read_body(seen)
    said = json.loads(seen.body)
    text = f"Hello {said['user']}"
    script = sse(openai_events((text, "."))) if said.get("stream") else reply(json=openai_chat(text=text))
    await script(peer, seen)


class Person:
    """Calls and calls, one after the other, by header and by body."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.made = 0
        self.ids: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        app = await RawClient.open(self.port)
        left = MORE
        while left:
            left -= stop.is_set()
            self.made += 1
            stream = self.made % 3 == 0
            body: dict[str, Any] = {"model": "gpt-4o", "user": self.name, "stream": stream, "max_tokens": 9}
            body["messages"] = [{"role": "user", "content": f"I am {self.name}"}]
            if stream:
                body["stream_options"] = {"include_usage": True}
            headers = [
                ("x-weighbridge-user", self.name),
                ("x-weighbridge-session", f"of {self.name}"),
                ("x-weighbridge-tags", f"mail={self.name}"),
            ]
            app.request("POST", CHAT, headers, json=body)
            answer = await app.answer()
            assert answer.status == 200, answer.body
            self.ids.append(answer.header("x-weighbridge-request-id") or "")
            await asyncio.sleep(0.005)
        app.close()


async def tell(session: aiohttp.ClientSession, person: Person) -> None:
    """Feedback, an outcome and an event."""
    said = {"call_id": person.ids[-1], "user": person.name, "rating": 1, "comment": f"I am {person.name}"}
    outcome = {"call_id": person.ids[-1], "user": person.name, "outcome": "accepted"}
    event = {"type": "track", "event": "opened", "userId": person.name, "properties": {"mail": person.name}}
    for path, body in (("feedback", said), ("outcomes", outcome), ("events", event)):
        async with session.post(f"/api/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()


async def prepared(url: str) -> None:
    """Tables, and a budget that lends to each user."""
    address = parse(url, Path())
    await asyncio.to_thread(migrate, address)
    each = Budget(
        id="b1", name="each", limit=10**15, mode=Mode.HARD, window=Window.TOTAL, scope=(("user", "*"),)
    )
    db = control_of(address)
    await admin.create(db, each, "test", int(time.time()))
    await db.close()


async def test_nothing_of_the_person_remains(tmp_path: Path, url: str) -> None:
    await prepared(url)
    exports = tmp_path / "weighbridge-data/exports"
    exports.mkdir(parents=True)
    (exports / "calls.csv").write_text(ADA)
    async with ScriptedUpstream(_provider) as upstream:
        environ = {"WEIGHBRIDGE_STORAGE__URL": url, "WEIGHBRIDGE_SERVER__WORKERS": "2"}
        with serving(tmp_path, upstream.base, extra=CAPTURE, environ=environ, port=free_port()) as gateway:
            port = await asyncio.to_thread(gateway.started)
            people = [Person(port, name) for name in (ADA, ADA, BOB, BOB)]
            stop = asyncio.Event()
            flowing = [asyncio.create_task(one.run(stop)) for one in people]
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                while min(one.made for one in people) < 30:
                    await asyncio.sleep(0.01)
                for one in people:
                    await tell(session, one)
                async with session.delete(f"/api/users/{ADA}") as answer:
                    done = await answer.json()
                    assert answer.status == 200, done
                assert (
                    min(done[what] for what in ("calls", "contents", "feedback", "events", "sums", "exports"))
                    > 0
                )
                stop.set()
                await asyncio.gather(*flowing)
                for one in people:
                    await tell(session, one)
            gateway.signal(signal.SIGTERM)
            assert await asyncio.to_thread(gateway.wait) == 0
            log = gateway.log
        assert len(upstream.requests) == sum(one.made for one in people)
    assert ADA not in log
    await nothing_is_left(tmp_path, url)
    await sums_are_those_of_all_calls(tmp_path, url, people)


async def nothing_is_left(folder: Path, url: str) -> None:
    house = House(url, folder)
    try:
        tables = {name for name, dump in (await house.everything()).items() if ADA in dump}
        assert tables == set()
        assert [row[0] for row in await house.rows("SELECT count(*) FROM call_contents")] != [0]
        users = await house.rows("SELECT DISTINCT user_id FROM call_contents")
        assert [row[0] for row in users] == [BOB]
    finally:
        await house.close()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix in (".db", ".key") for path in files)
    assert [str(path) for path in files if ADA.encode() in path.read_bytes()] == []


async def sums_are_those_of_all_calls(folder: Path, url: str, people: list[Person]) -> None:
    house = House(url, folder)
    made = sum(one.made for one in people)
    query = "SELECT count(*), sum(input_tokens), sum(output_tokens), count(DISTINCT cost_nano) FROM model_requests"
    ((calls, asked, answered, costs),) = await house.rows(query)
    tokens = OPENAI_USAGE["prompt_tokens"], OPENAI_USAGE["completion_tokens"]
    assert (calls, asked, answered, costs) == (made, made * tokens[0], made * tokens[1], 1)
    ids = {str(row[0]) for row in await house.rows("SELECT id FROM model_requests")}
    assert ids == {id_ for one in people for id_ in one.ids}
    named = await house.rows("SELECT count(*) FROM model_requests WHERE user_id = 'bob'")
    assert [row[0] for row in named] == [sum(one.made for one in people if one.name == BOB)]
    await house.close()
    async with engine_of(url) as engine:
        await compact(engine, datetime.now(UTC))
        found = await verify(engine)
    assert (found.calls, found.differences) == (made, ())
