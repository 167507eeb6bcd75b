"""A person over HTTP: told what is kept, and erased."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr
from rig.bodies import openai_chat
from rig.client import call
from rig.gateway import gateway
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.api.app import PrivacyDeps
from gateway.api.viewer import Viewer
from gateway.attribution import hashed
from pricing.book import PriceBook
from storage.address import parse
from storage.store import Store
from telemetry.record import CallRecord

from .conftest import Connect, make_call

Keep = Callable[..., Awaitable[None]]
CHAT = "/openai/v1/chat/completions"
ODD = "ada/lovelace & co?=ä"


def of(record: CallRecord, user: str, tenant: str | None = None) -> CallRecord:
    return msgspec.structs.replace(record, who=msgspec.structs.replace(record.who, user=user, tenant=tenant))


@pytest.fixture
def privacy(tmp_path: Path, store: Store) -> PrivacyDeps:
    return PrivacyDeps(parse(None, tmp_path), tmp_path)


async def lines(client: Any, path: str, **params: str) -> list[dict[str, Any]]:
    answer = await client.get(path, params=params)
    assert answer.status == 200, await answer.text()
    return [json.loads(line) for line in (await answer.text()).splitlines()]


async def test_told_then_erased(connect: Connect, keep: Keep, book: PriceBook, privacy: PrivacyDeps) -> None:
    await keep(
        of(make_call(book), "ada"), of(make_call(book, 1), "bob"), of(make_call(book, 2), "ada", "acme")
    )
    client = await connect(privacy=privacy)
    kept = await lines(client, "/api/users/ada/export")
    assert [line["table"] for line in kept if line["table"] == "model_requests"] == ["model_requests"] * 2
    assert len(await lines(client, "/api/users/ada/export", tenant="acme")) < len(kept)
    answer = await client.delete("/api/users/ada")
    body = await answer.json()
    assert (answer.status, body["calls"], body["sums"], body["left"]) == (200, 2, 2, [])
    assert await lines(client, "/api/users/ada/export") == []
    assert len(await lines(client, "/api/users/bob/export")) > 0
    assert (await (await client.delete("/api/users/ada")).json())["calls"] == 0


async def test_ids_of_every_kind(connect: Connect, keep: Keep, book: PriceBook, privacy: PrivacyDeps) -> None:
    salt = SecretStr("pepper")
    await keep(of(make_call(book), ODD), of(make_call(book, 1), hashed(ODD, salt)))
    client = await connect(privacy=msgspec.structs.replace(privacy, salt=lambda: salt))
    quoted = "ada%2Flovelace%20%26%20co%3F%3D%C3%A4"
    url = aiohttp.client.URL(f"/api/users/{quoted}/export", encoded=True)
    answer = await client.get(url)
    assert sum(b"model_requests" in line for line in (await answer.read()).splitlines()) == 2
    answer = await client.delete(aiohttp.client.URL(f"/api/users/{quoted}", encoded=True))
    assert (await answer.json())["calls"] == 2


@pytest.mark.parametrize(
    ("query", "param"), [("days=0", "days"), ("days=x", "days"), ("tenant=", "tenant"), ("teams=a", "teams")]
)
async def test_a_bad_parameter_is_named(
    connect: Connect, privacy: PrivacyDeps, query: str, param: str
) -> None:
    answer = await (await connect(privacy=privacy)).delete(f"/api/users/ada?{query}")
    assert (answer.status, (await answer.json())["error"]["param"]) == (400, param)


async def test_admins_only(connect: Connect, privacy: PrivacyDeps) -> None:
    async def tokens(told: str) -> Viewer | None:
        return Viewer("reader", user="ada") if told == "reader" else None

    client = await connect(privacy=privacy, tokens=tokens, admin_token=SecretStr("admin"))
    for method, path in (("DELETE", "/api/users/ada"), ("GET", "/api/users/ada/export")):
        assert (await client.request(method, path)).status == 401
        answer = await client.request(method, path, headers={"Authorization": "Bearer reader"})
        assert (answer.status, (await answer.json())["error"]["code"]) == (403, "admin_only")


async def test_while_the_database_is_away(connect: Connect, tmp_path: Path) -> None:
    gone = PrivacyDeps(parse("postgresql://nobody@127.0.0.1:1/none", tmp_path), tmp_path)
    client = await connect(privacy=gone)
    assert (await client.delete("/api/users/ada")).status == 503
    assert (await client.get("/api/users/ada/export")).status == 503


async def test_calls_of_somebody_who_was_erased_pass_and_are_nobodys(tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream, gateway(tmp_path, upstream.base) as running:
        upstream.default = reply(json=openai_chat("gpt-4o-mini"))
        whose = [("x-weighbridge-user", "ada"), ("x-weighbridge-session", "s")]
        await call(running.port, "POST", CHAT, whose, b'{"model":"gpt-4o-mini"}')
        async with aiohttp.ClientSession(running.url) as session:
            for expected in (1, 0):
                assert await running.ledger.drained(20)
                async with session.delete("/api/users/ada") as answer:
                    assert (await answer.json())["calls"] == expected
                answered = await call(running.port, "POST", CHAT, whose, b'{"model":"gpt-4o-mini"}')
                assert answered.status == 200
        assert await running.ledger.drained(20)
        with closing(sqlite3.connect(tmp_path / "weighbridge.db")) as db:
            rows = db.execute("SELECT user_id, session_id, cost_nano > 0 FROM model_requests").fetchall()
        assert rows == [(None, None, 1)] * 3


async def test_somebody_opts_out_and_in_again(
    connect: Connect, keep: Keep, book: PriceBook, privacy: PrivacyDeps
) -> None:
    client = await connect(privacy=privacy)
    path = f"/api/users/{quote(ODD, safe='')}/opt-out"
    first = await client.post(path)
    assert first.status == 200, await first.text()
    (item,) = (await first.json())["items"]
    assert (await (await client.post(path)).json())["items"] == [item]
    await keep(of(make_call(book), ODD))
    shown = await (await client.get("/api/calls")).json()
    assert [call["who"]["user"] for call in shown["items"]] == [None]
    listed = await (await client.get("/api/opt-outs")).json()
    assert listed["items"] == [item]
    assert "lovelace" not in str(listed)
    assert (await client.delete(path, params={"tenant": "acme"})).status == 404
    assert (await (await client.delete(path)).json()) == {"items": []}
    assert (await client.delete(path)).status == 404
    assert (await client.post(path, params={"tenant": ""})).status == 400
    odd = await client.post("/api/users/a%00%EF%BF%BF/opt-out", params={"tenant": "b\0"})
    assert odd.status == 200, await odd.text()
