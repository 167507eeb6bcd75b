"""Apps tell of their own calls with their gateway key: of those alone, and the key opens nothing else."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rig.gateway import gateway
from rig.ledger import call_id, config, record
from rig.migrated import with_tables

from gateway.app import Gateway
from gateway.attribution import hashed
from storage.ledger import Ledger
from telemetry.record import CallRecord

ADMIN = {"Authorization": "Bearer the-admins-own-token"}
OPEN = {"/api/feedback", "/api/outcomes", "/api/events"}
Make = Callable[..., Awaitable[dict[str, str]]]
LONG_AGO_MS = int(time.time() * 1000) - 2 * 3_600_000
"""When the calls began: of one that began an hour ago or longer nobody waits for the record to come."""


def call(number: int, key_id: str | None = None, **who: Any) -> CallRecord:
    return record(number, ms=LONG_AGO_MS, who={"user": None, "key_id": key_id, **who})


async def keep(folder: Path, *records: CallRecord) -> None:
    ledger = Ledger(config(with_tables(folder)))
    await ledger.start()
    for one in records:
        ledger.closed(one)
    assert await ledger.drained(20)
    await ledger.stop(5)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Gateway]:
    await keep(tmp_path, call(1, team="search"), call(2, team="ops"), call(3, team="search", tenant="beta"))
    async with gateway(
        tmp_path, "http://127.0.0.1:9", auth={"admin_token": "the-admins-own-token"}
    ) as started:
        yield started


@pytest.fixture
async def session(running: Gateway) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(running.url) as opened:
        yield opened


@pytest.fixture
def make(running: Gateway, session: aiohttp.ClientSession) -> Make:
    """``await make(team="search")``: headers with the secret of such a key."""

    async def made(**bound: Any) -> dict[str, str]:
        body = {"name": "app", **bound}
        async with session.post("/api/keys", json=body, headers=ADMIN) as answer:
            told = await answer.json()
            assert answer.status == 201, told
        await running.governance.watch.look()
        return {"Authorization": f"Bearer {told['secret']}", "id": told["key"]["id"]}

    return made


async def post(
    session: aiohttp.ClientSession, path: str, body: Any, headers: dict[str, str]
) -> tuple[int, Any]:
    async with session.post(path, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


def rating(number: int) -> dict[str, Any]:
    return {"call_id": call_id(number, LONG_AGO_MS), "rating": 1}


async def test_a_key_speaks_of_the_calls_of_its_team_and_tenant(
    session: aiohttp.ClientSession, make: Make
) -> None:
    key = await make(tenant="acme", team="search")
    assert (await post(session, "/api/feedback", rating(1), key))[0] == 200
    for number in (2, 3):
        for path, more in (("/api/feedback", {}), ("/api/outcomes", {"outcome": "accepted"})):
            body = {**rating(number), **more}
            body = {name: value for name, value in body.items() if not (more and name == "rating")}
            status, told = await post(session, path, body, key)
            assert (status, told["error"]["code"]) == (404, "call_not_found")
    batch = [{"type": "feedback", "feedback": rating(number)} for number in (1, 2, 3)]
    _, told = await post(session, "/api/events", {"batch": batch}, key)
    assert [one["index"] for one in told["rejected"]] == [1, 2]


async def test_the_header_of_its_own_does_too(session: aiohttp.ClientSession, make: Make) -> None:
    key = await make(team="ops")
    headers = {
        "x-weighbridge-key": key["Authorization"].removeprefix("Bearer "),
        "Authorization": "Bearer sk-of-the-provider",
    }
    assert (await post(session, "/api/feedback", rating(2), headers))[0] == 200
    assert (await post(session, "/api/feedback", rating(1), headers))[0] == 404


async def test_a_key_that_binds_nothing_speaks_of_its_own_calls_alone(
    running: Gateway, session: aiohttp.ClientSession, make: Make
) -> None:
    key = await make()
    running.ledger.closed(call(7, key_id=key["id"]))
    assert await running.ledger.drained(20)
    assert (await post(session, "/api/feedback", rating(7), key))[0] == 200
    assert (await post(session, "/api/feedback", rating(1), key))[0] == 404


async def test_calls_it_tells_of_are_its_own(
    running: Gateway, session: aiohttp.ClientSession, make: Make
) -> None:
    key = await make(tenant="acme", team="search", project="site", tags={"cost_center": "7"})
    told = {
        "type": "ai_request",
        "messageId": "m1",
        "timestamp": datetime.now(UTC).isoformat(),
        "tenant": "beta",
        "call": {
            "provider": "openai",
            "model": "gpt-4o",
            "team": "ops",
            "feature": "chat",
            "tags": {"a": "b"},
        },
    }
    status, answer = await post(session, "/api/events", {"batch": [told]}, key)
    assert (status, answer["accepted"]) == (200, 1), answer
    assert await running.ledger.drained(20)
    async with session.get("/api/calls", params={"feature": "chat"}, headers=ADMIN) as found:
        [row] = (await found.json())["items"]
    who = row["who"]
    assert (who["tenant"], who["team"], who["project"], who["key_id"]) == (
        "acme",
        "search",
        "site",
        key["id"],
    )
    assert who["tags"] == {"cost_center": "7", "a": "b"}


async def test_a_key_opens_nothing_else(session: aiohttp.ClientSession, make: Make) -> None:
    key = await make(tenant="acme")
    async with session.get("/api/openapi.json", headers=ADMIN) as answer:
        document = await answer.json()
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            open_to_keys = path in OPEN
            assert operation.get("x-gateway-keys", False) is open_to_keys
            filled = re.sub(r"{\w+}", "x", path)
            async with session.request(method, filled, headers=key, json={}) as answer:
                assert (answer.status == 403) is not open_to_keys, (method, path, answer.status)
            tried += 1
    assert tried > 40


async def test_a_key_that_is_no_good_opens_nothing(
    running: Gateway, session: aiohttp.ClientSession, make: Make
) -> None:
    key = await make(team="search")
    async with session.delete(f"/api/keys/{key['id']}", headers=ADMIN) as answer:
        assert answer.status == 200, await answer.text()
    await running.governance.watch.look()
    never = {"Authorization": "Bearer wbk_nobody-ever-made-this-one"}
    for headers in (key, never):
        status, told = await post(session, "/api/feedback", rating(1), headers)
        assert (status, told["error"]["code"]) == (401, "unauthorized")
    # Whoever may do everything still does, whatever key stands beside.
    both = {**ADMIN, "x-weighbridge-key": "wbk_nobody-ever-made-this-one"}
    assert (await post(session, "/api/feedback", rating(1), both))[0] == 200


async def test_users_are_compared_as_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALT", "a long and random text")
    options = {
        "auth": {"admin_token": "the-admins-own-token"},
        "attribution": {"hash_users_salt_env": "SALT"},
    }
    async with gateway(tmp_path, "http://127.0.0.1:9", **options) as started:
        salt = started.settings.attribution.salt
        assert salt is not None
        started.ledger.closed(call(1, user=hashed("ada", salt)))
        started.ledger.closed(call(2, user=hashed("eve", salt)))
        assert await started.ledger.drained(20)
        async with aiohttp.ClientSession(started.url) as session:
            async with session.post("/api/keys", json={"name": "a", "user": "ada"}, headers=ADMIN) as answer:
                secret = (await answer.json())["secret"]
            await started.governance.watch.look()
            key = {"x-weighbridge-key": secret}
            statuses = await asyncio.gather(
                *(post(session, "/api/feedback", rating(number), key) for number in (1, 2))
            )
        assert [status for status, _ in statuses] == [200, 404]
